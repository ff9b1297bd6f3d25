//! TUF 5.6.7: the search for a target along delegations, for repositories that other tools publish. Our own clients read
//! one channel's role ([`TrustedSet::channel`]) and never search.
//!
//! The search is pre-order and depth-first and stops at a terminating delegation. It owns no transport: it says which
//! role it wants ([`SearchStep::Load`]), the caller fetches it and hands it in with [`TargetSearch::role`].

use super::{Complete, TrustError, TrustedSet, Wanted};
use crate::length::MAX_DELEGATED_ROLES;
use crate::pattern::part_matches;
use crate::role::{DelegatedRole, RoleName, TargetFile, Targets};
use crate::signed::{Untrusted, Verified};
use std::collections::BTreeSet;

/// A search for one target, made by [`TrustedSet::search`].
#[derive(Debug)]
pub struct TargetSearch<'a> {
    set: &'a TrustedSet<Complete>,
    target: String,
    /// Delegations that wait for their turn, the next one last.
    open: Vec<DelegatedRole>,
    visited: BTreeSet<String>,
    found: Option<FoundTarget>,
}

/// What a search needs next, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchStep {
    /// The role to hand in with [`TargetSearch::role`] before the next step.
    Load {
        /// The role's name.
        role: String,
        /// What to ask for.
        wanted: Wanted,
    },
    /// The target, as the first role that may list it does.
    Found(FoundTarget),
    /// No role that may list the target does.
    Absent,
}

/// A target and the role that vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTarget {
    /// The role that lists it.
    pub role: String,
    /// Its length and hashes.
    pub file: TargetFile,
}

impl TrustedSet<Complete> {
    /// Starts the search for a target, at the top-level targets role.
    #[must_use]
    pub fn search(&self, target: &str) -> TargetSearch<'_> {
        let mut search = TargetSearch {
            set: self,
            target: target.to_owned(),
            open: Vec::new(),
            visited: BTreeSet::new(),
            found: None,
        };
        search.enter(RoleName::Targets.as_str(), self.current_targets());
        search
    }
}

impl TargetSearch<'_> {
    /// Returns what the search needs next or how it ended. Asked again before the role came, it answers the same.
    /// # Errors
    /// [`TrustError::UnknownRole`] when the snapshot does not list the role that comes next: it is not fetched then.
    /// [`TrustError::TooManyRoles`] when [`MAX_DELEGATED_ROLES`] roles did not settle it.
    pub fn step(&mut self) -> Result<SearchStep, TrustError> {
        if let Some(found) = &self.found {
            return Ok(SearchStep::Found(found.clone()));
        }
        // TUF 5.6.7.1: a role that was visited already is not visited again, which ends every cycle.
        while self.open.last().is_some_and(|next| self.visited.contains(&next.name)) {
            self.open.pop();
        }
        let Some(next) = self.open.last() else {
            return Ok(SearchStep::Absent);
        };
        if self.visited.len() >= MAX_DELEGATED_ROLES {
            return Err(TrustError::TooManyRoles { role: next.name.clone(), limit: MAX_DELEGATED_ROLES });
        }
        Ok(SearchStep::Load { wanted: self.set.wanted_role(&next.name)?, role: next.name.clone() })
    }

    /// Takes the role that [`SearchStep::Load`] asked for, downloaded or from an earlier check, verifies it along the
    /// delegation by which the search came to it, and returns it so that it can be kept.
    ///
    /// What another delegation to the same role proved counts for nothing here (TUF 5.6.7).
    /// # Errors
    /// What [`TrustedSet::delegated`] returns; the search then still wants the role. [`TrustError::UnknownRole`] when no
    /// role is wanted.
    pub fn role(&mut self, bytes: &Untrusted) -> Result<Verified<Targets>, TrustError> {
        let next = self.open.last().filter(|next| !self.visited.contains(&next.name));
        let Some(next) = next.filter(|_| self.found.is_none()) else {
            return Err(TrustError::UnknownRole {
                role: self.target.clone(),
                by: "the search, which wants no role".to_owned(),
            });
        };
        let role = self.set.delegated(next, bytes)?;
        let name = next.name.clone();
        self.open.pop();
        self.visited.insert(name.clone());
        self.enter(&name, &role);
        Ok(role)
    }

    /// Looks for the target in a verified role and queues the delegations that may list it.
    fn enter(&mut self, name: &str, role: &Targets) {
        if let Some(file) = role.targets.get(&self.target) {
            self.found = Some(FoundTarget { role: name.to_owned(), file: file.clone() });
            return;
        }
        let delegations = role.delegations.iter().flat_map(|delegations| &delegations.roles);
        let mut children = Vec::new();
        for child in delegations.filter(|child| child.covers(&self.target)) {
            children.push(child.clone());
            // TUF 5.6.7.2.1: after a terminating delegation nothing else is searched, on no level.
            if child.terminating {
                self.open.clear();
                break;
            }
        }
        self.open.extend(children.into_iter().rev());
    }
}

impl DelegatedRole {
    /// Tells whether this delegation lets its role list a target.
    ///
    /// A pattern matches part by part: `*` any characters within one part, `?` one character; brackets are ordinary
    /// characters (TUF 4.5). A delegation by hash bins (`path_hash_prefixes`) has no patterns and covers nothing.
    #[must_use]
    pub fn covers(&self, target: &str) -> bool {
        let parts: Vec<&str> = target.split('/').collect();
        self.paths.iter().any(|pattern| {
            let pattern: Vec<&str> = pattern.split('/').collect();
            pattern.len() == parts.len()
                && pattern.iter().zip(&parts).all(|(pattern, part)| part_matches(pattern, part))
        })
    }
}
