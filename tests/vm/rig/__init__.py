"""The appliance in a virtual machine: how it is made, started, spoken to and checked. ../README.md explains it."""
