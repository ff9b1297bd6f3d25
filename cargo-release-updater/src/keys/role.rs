//! For which role a key is made.

use super::error::KeyError;
use updater_format::Channel;

/// What a key is made for. It names the file; what a key may sign is said by the metadata alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRole {
    /// Signs roots: offline.
    Root,
    /// Signs the delegations to channels: offline.
    Targets,
    /// Signs snapshots and timestamps: may live in a scheduled job.
    Online,
    /// Signs the releases of one channel.
    Channel(Channel),
}

impl KeyRole {
    /// Parses the name of a role.
    /// # Errors
    /// [`KeyError::Role`] when it is neither a role with a key of its own nor a channel name.
    pub fn parse(name: &str) -> Result<Self, KeyError> {
        match name {
            "root" => Ok(Self::Root),
            "targets" => Ok(Self::Targets),
            "online" => Ok(Self::Online),
            _ => match Channel::parse(name) {
                Ok(channel) => Ok(Self::Channel(channel)),
                Err(source) => Err(KeyError::Role { name: name.to_owned(), source }),
            },
        }
    }

    /// Returns the name, which is also that of the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Online => "online",
            Self::Channel(channel) => channel.as_str(),
        }
    }
}

impl std::str::FromStr for KeyRole {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_with_keys() {
        for name in ["root", "targets", "online", "stable", "nightly-2"] {
            assert_eq!(KeyRole::parse(name).unwrap().as_str(), name);
        }
        for name in ["snapshot", "timestamp", "A", "../x", ""] {
            assert!(matches!(KeyRole::parse(name), Err(KeyError::Role { .. })), "{name}");
        }
    }
}
