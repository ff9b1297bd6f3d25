//! The storage services: which of them this build reaches, what each needs, and what it offers to keep publishers apart.
//!
//! What a service offers is asked of the service as it is built in here. No network is used.

use crate::shell::Message;
use crate::storage::{Coordination, Service, Storage, StorageError};

/// One service, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Offer {
    /// Its name, which is also that of the cargo feature.
    pub service: &'static str,
    /// Whether this build reaches it.
    pub built: bool,
    /// How its address is written.
    pub address: &'static str,
    /// The options that an address may have after the `?`.
    pub options: Vec<&'static str>,
    /// Where its credentials are read from.
    pub credentials: &'static str,
    /// Whether it can be written.
    pub write: bool,
    /// Whether an object can be created only if there is none.
    pub create_if_absent: bool,
    /// Whether an object can be replaced only if it did not change.
    pub replace_if_unchanged: bool,
    /// How publishers are kept apart: `lock`, `conditional-replace`, `claim` or `one-publisher`; nothing where nobody
    /// publishes.
    pub coordination: Option<&'static str>,
}

impl Message for Offer {
    const REASON: &'static str = "service";
}

/// Returns every service, built in or not.
/// # Errors
/// [`StorageError`] when a service cannot be set up.
pub fn offers() -> Result<Vec<Offer>, StorageError> {
    Service::ALL.into_iter().map(Offer::of).collect()
}

impl Offer {
    fn of(service: Service) -> Result<Self, StorageError> {
        if service == Service::Command {
            return Ok(Self::of_command());
        }
        let storage = service.is_built().then(|| Storage::example(service)).transpose()?;
        let coordination = storage.as_ref().filter(|storage| storage.is_writable()).map(Storage::coordination);
        Ok(Self {
            service: service.name(),
            built: service.is_built(),
            address: service.form(),
            options: service.options(),
            credentials: service.credentials(),
            write: coordination.is_some(),
            create_if_absent: coordination.is_some_and(|c| c != Coordination::Nothing),
            replace_if_unchanged: coordination == Some(Coordination::ConditionalReplace),
            coordination: coordination.map(Coordination::name),
        })
    }

    /// A command has no conditions, and what it writes is known to a project alone.
    fn of_command() -> Self {
        let service = Service::Command;
        Self {
            service: service.name(),
            built: true,
            address: service.form(),
            options: Vec::new(),
            credentials: service.credentials(),
            write: true,
            create_if_absent: false,
            replace_if_unchanged: false,
            coordination: Some(Coordination::Nothing.name()),
        }
    }

    /// Returns one sentence about several publishers at once.
    #[must_use]
    pub fn several_publishers(&self) -> &'static str {
        match (self.built, self.coordination) {
            (false, _) => "not in this build",
            (_, Some("lock")) => "several publishers of this machine: a lock",
            (_, Some("conditional-replace")) => "several publishers: the second one merges at once",
            (_, Some("claim")) => "several publishers: the second one waits for the first, at most 10 minutes",
            (_, Some(_)) => "one publisher at a time: the service has no conditions",
            (_, None) => "read only",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_listed_with_what_it_offers() {
        let offers = offers().unwrap();
        assert_eq!(offers.len(), Service::ALL.len());
        let of = |name: &str| offers.iter().find(|offer| offer.service == name).unwrap();
        assert_eq!((of("fs").coordination, of("memory").coordination), (Some("lock"), Some("claim")));
        for (name, coordination) in [
            ("s3", Some("conditional-replace")),
            ("azblob", Some("conditional-replace")),
            ("gcs", Some("claim")),
            ("sftp", Some("claim")),
            ("webdav", Some("one-publisher")),
            ("github", Some("conditional-replace")),
            ("command", Some("one-publisher")),
            ("http", None),
        ] {
            let offer = of(name);
            assert_eq!(offer.coordination, offer.built.then_some(coordination).flatten(), "{name}");
            assert_eq!(offer.write, offer.coordination.is_some(), "{name}");
        }
    }
}
