/* Lets objects compiled against a newer C library link and run on an older one. */

#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

/* Debian trixie's libruy is compiled against glibc >= 2.38, whose headers turn strtol() into this symbol. It differs from
 * strtol() only in accepting C23's binary constants ("0b101"), which ruy's one call (an environment variable) has no use
 * for. A glibc that has the symbol may turn the call below into a call of itself, so there it is left out. */
#if !__GLIBC_PREREQ(2, 38)
long __isoc23_strtol(const char *text, char **end, int base)
{
	return strtol(text, end, base);
}
#endif

/* A static libstdc++ of Debian 12 or younger calls arc4random(), new in glibc 2.36. With it here the floor of a binary
 * that carries its own libstdc++ is glibc 2.34. */
uint32_t arc4random(void)
{
	uint32_t value = 0;

	if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value)
		abort();
	return value;
}
