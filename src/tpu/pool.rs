//! Several accelerators for several models.
//!
//! Each model has a home: models of one caching token live together, models of different ones apart
//! where there are enough accelerators, so that none evicts another's weights. While a home is out of
//! service its models run on another that works, which is said. A run waits for no other accelerator
//! than its own: those out of service are seen to by [`Pool::tick`], when there is nothing to run.

use std::sync::Arc;
use std::time::Duration;

use super::device::{ProgramId, Ticket};
use super::error::TpuError;
use super::package::{CachingToken, Package};
use super::supervise::{Event, Supervised};

/// A model that a pool was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelId(usize);

/// A run on one of a pool's accelerators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolTicket {
    member: usize,
    ticket: Ticket,
}

#[derive(Debug)]
struct Resident {
    package: Arc<Package>,
    /// By member.
    programs: Vec<ProgramId>,
    home: usize,
    /// Where it ran last.
    at: usize,
}

/// Accelerators with the models they share.
#[derive(Debug)]
pub struct Pool {
    members: Vec<Supervised>,
    models: Vec<Resident>,
    /// The member that is seen to next.
    turn: usize,
}

impl Pool {
    /// A pool of at least one accelerator, in the order of their places.
    ///
    /// # Errors
    ///
    /// None was given.
    pub fn new(members: Vec<Supervised>) -> Result<Self, TpuError> {
        if members.is_empty() {
            return Err(TpuError::Absent("is connected".to_owned()));
        }
        Ok(Self {
            members,
            models: Vec::new(),
            turn: 0,
        })
    }

    /// The accelerators.
    #[must_use]
    pub fn members(&self) -> &[Supervised] {
        &self.members
    }

    /// The accelerators, to be asked for their temperature.
    pub fn members_mut(&mut self) -> &mut [Supervised] {
        &mut self.members
    }

    /// What it consists of.
    #[must_use]
    pub fn description(&self) -> String {
        let members: Vec<String> = self.members.iter().map(Supervised::description).collect();
        members.join(" + ")
    }

    /// Brings the accelerators into service.
    ///
    /// # Errors
    ///
    /// None of them is within `limit`: the reason of the first.
    pub fn start(&mut self, limit: Duration) -> Result<(), TpuError> {
        let mut failures = Vec::new();
        for (before, member) in self.members.iter_mut().enumerate() {
            // Where one works, the others are not waited for as long: they may come later.
            let one_works = failures.len() < before;
            let limit = if one_works { limit / 4 } else { limit };
            failures.extend(member.start(limit).err());
        }
        if failures.len() == self.members.len()
            && let Some(first) = failures.into_iter().next()
        {
            return Err(first);
        }
        Ok(())
    }

    /// Takes a model and gives it a home.
    ///
    /// # Errors
    ///
    /// An accelerator cannot run it.
    pub fn load(&mut self, package: &Arc<Package>) -> Result<ModelId, TpuError> {
        let programs = self.members.iter_mut().map(|member| member.load(package));
        let programs = programs.collect::<Result<Vec<_>, _>>()?;
        let home = self.home_of(package.token());
        self.models.push(Resident {
            package: Arc::clone(package),
            programs,
            home,
            at: home,
        });
        Ok(ModelId(self.models.len() - 1))
    }

    /// Where the token's models are, or else where the fewest other tokens are.
    fn home_of(&self, token: CachingToken) -> usize {
        let same = |model: &&Resident| token != CachingToken(0) && model.package.token() == token;
        if let Some(model) = self.models.iter().find(same) {
            return model.home;
        }
        let load = |member: usize| self.models.iter().filter(|m| m.home == member).count();
        (0..self.members.len())
            .min_by_key(|member| load(*member))
            .unwrap_or(0)
    }

    /// The member that runs a model next: its home, or the first other that works.
    fn place(&mut self, model: ModelId) -> Result<(usize, ProgramId), TpuError> {
        let resident = self
            .models
            .get_mut(model.0)
            .ok_or(TpuError::Unknown("model"))?;
        let works = |member: &usize| {
            self.members
                .get(*member)
                .is_some_and(Supervised::is_working)
        };
        let mut others = (0..self.members.len()).filter(works);
        let at = if works(&resident.home) {
            resident.home
        } else {
            others.next().unwrap_or(resident.home)
        };
        if at != resident.at && at != resident.home {
            self.members
                .get_mut(at)
                .into_iter()
                .for_each(Supervised::note_takeover);
        }
        resident.at = at;
        let program = resident
            .programs
            .get(at)
            .ok_or(TpuError::Unknown("model"))?;
        Ok((at, *program))
    }

    /// Whether the next [`Pool::tick`] does something to an accelerator; see
    /// [`Supervised::is_recovering`].
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.members.iter().any(Supervised::is_recovering)
    }

    /// One step of a recovery that is under way; of several, each in its turn. Not to be called while
    /// something waits that could be run.
    pub fn tick(&mut self) {
        let count = self.members.len();
        let mut in_turn = (0..count).map(|next| (self.turn + next) % count);
        let recovering = |member: &usize| {
            self.members
                .get(*member)
                .is_some_and(Supervised::is_recovering)
        };
        if let Some(at) = in_turn.find(recovering) {
            self.turn = at + 1;
            self.members
                .get_mut(at)
                .into_iter()
                .for_each(Supervised::tick);
        }
    }

    /// Runs a model, and once more where that may help and there is time.
    ///
    /// # Errors
    ///
    /// See [`Supervised::run`].
    pub fn run(
        &mut self,
        model: ModelId,
        inputs: &[&[u8]],
        outputs: &mut [Vec<u8>],
    ) -> Result<(), TpuError> {
        let (at, program) = self.place(model)?;
        let member = self
            .members
            .get_mut(at)
            .ok_or(TpuError::Unknown("device"))?;
        member.run(program, inputs, outputs)
    }

    /// Begins a run; inputs are copied.
    ///
    /// # Errors
    ///
    /// See [`Supervised::submit`].
    pub fn submit(&mut self, model: ModelId, inputs: &[&[u8]]) -> Result<PoolTicket, TpuError> {
        let (at, program) = self.place(model)?;
        let member = self
            .members
            .get_mut(at)
            .ok_or(TpuError::Unknown("device"))?;
        let ticket = member.submit(program, inputs)?;
        Ok(PoolTicket { member: at, ticket })
    }

    /// Waits for a run, at most until its deadline, and writes its outputs.
    ///
    /// # Errors
    ///
    /// See [`Supervised::finish`].
    pub fn finish(&mut self, ticket: PoolTicket, outputs: &mut [Vec<u8>]) -> Result<(), TpuError> {
        let member = self.members.get_mut(ticket.member);
        let member = member.ok_or(TpuError::Unknown("device"))?;
        member.finish(ticket.ticket, outputs)
    }

    /// The oldest event of any accelerator that has not been taken.
    pub fn take_event(&mut self) -> Option<Event> {
        self.members.iter_mut().find_map(Supervised::take_event)
    }

    /// Models whose weights evict each other, in pairs of positions.
    #[must_use]
    pub fn evicting(&self) -> Vec<(ModelId, ModelId)> {
        let mut pairs = Vec::new();
        for (b, second) in self.models.iter().enumerate() {
            for (a, first) in self.models.iter().enumerate().take(b) {
                let apart = first.package.token() != second.package.token()
                    || first.package.token() == CachingToken(0);
                if apart && first.home == second.home {
                    pairs.push((ModelId(a), ModelId(b)));
                }
            }
        }
        pairs
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
