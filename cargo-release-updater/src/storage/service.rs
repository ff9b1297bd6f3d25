//! The services that a storage address can name: what each needs, where its credentials come from, and how its address
//! becomes the settings of OpenDAL.

use super::uri::Remote;

/// One kind of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// A folder of this machine.
    Folder,
    /// Amazon S3 and what speaks its protocol.
    S3,
    /// Azure Blob Storage.
    Azblob,
    /// Google Cloud Storage.
    Gcs,
    /// Any machine with an SSH server.
    Sftp,
    /// A web server with WebDAV.
    Webdav,
    /// Releases of GitHub, with their metadata on GitHub Pages.
    GitHub,
    /// A web server; it can only be read.
    Http,
    /// A program of the project, the hook `upload`.
    Command,
    /// The memory of this process, for tests.
    Memory,
}

impl Service {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 10] = [
        Self::Folder,
        Self::S3,
        Self::Azblob,
        Self::Gcs,
        Self::Sftp,
        Self::Webdav,
        Self::GitHub,
        Self::Http,
        Self::Command,
        Self::Memory,
    ];

    /// Returns the name, which is also the name of the cargo feature where there is one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Folder => "fs",
            Self::S3 => "s3",
            Self::Azblob => "azblob",
            Self::Gcs => "gcs",
            Self::Sftp => "sftp",
            Self::Webdav => "webdav",
            Self::GitHub => "github",
            Self::Http => "http",
            Self::Command => "command",
            Self::Memory => "memory",
        }
    }

    /// Returns how its address is written.
    #[must_use]
    pub fn form(self) -> &'static str {
        match self {
            Self::Folder => "fs:PATH",
            Self::S3 => "s3://BUCKET/PREFIX?region=REGION&endpoint=URL",
            Self::Azblob => "azblob://CONTAINER/PREFIX?account=NAME",
            Self::Gcs => "gcs://BUCKET/PREFIX",
            Self::Sftp => "sftp://USER@HOST:PORT/PATH",
            Self::Webdav => "webdav+https://HOST/PATH",
            Self::GitHub => "github:OWNER/REPO/PATH?branch=gh-pages&tag=v",
            Self::Http => "https://HOST/PATH",
            Self::Command => "command",
            Self::Memory => "memory:",
        }
    }

    /// Returns where its credentials are read from: never from the address.
    #[must_use]
    pub fn credentials(self) -> &'static str {
        match self {
            Self::Folder | Self::Memory | Self::Http => "none",
            Self::Command => "those of the program that the hook `upload` names (docs/hooks.md)",
            Self::S3 => {
                "as the aws tool: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE and ~/.aws, web identity, \
                 instance role; AWS_REGION when the address names no region"
            }
            Self::Azblob => {
                "as the az tool: AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN; workload \
                 identity, managed identity"
            }
            Self::Gcs => {
                "as the gcloud tool: GOOGLE_APPLICATION_CREDENTIALS, application default credentials, metadata"
            }
            Self::Sftp => "as ssh: agent, ~/.ssh/config and its keys; the program `ssh` must be there",
            Self::GitHub => {
                "as the gh tool: GH_TOKEN or GITHUB_TOKEN; for another server GITHUB_API_URL, with GH_ENTERPRISE_TOKEN or \
                 GITHUB_ENTERPRISE_TOKEN"
            }
            Self::Webdav => "WEBDAV_USERNAME and WEBDAV_PASSWORD, or WEBDAV_TOKEN",
        }
    }

    /// Returns the options that its address may have after the `?`.
    #[must_use]
    pub fn options(self) -> Vec<&'static str> {
        self.option_settings().iter().map(|(option, _)| *option).collect()
    }

    /// Tells whether this build reaches it.
    #[must_use]
    pub fn is_built(self) -> bool {
        match self {
            Self::Folder | Self::Memory | Self::Command | Self::GitHub => true,
            Self::S3 => cfg!(feature = "s3"),
            Self::Azblob => cfg!(feature = "azblob"),
            Self::Gcs => cfg!(feature = "gcs"),
            Self::Sftp => cfg!(feature = "sftp"),
            Self::Webdav => cfg!(feature = "webdav"),
            Self::Http => cfg!(feature = "http"),
        }
    }

    /// Finds the service of an address that starts with `SCHEME://`.
    pub(super) fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "s3" => Some(Self::S3),
            "azblob" => Some(Self::Azblob),
            "gcs" => Some(Self::Gcs),
            "sftp" => Some(Self::Sftp),
            "webdav+http" | "webdav+https" => Some(Self::Webdav),
            "http" | "https" => Some(Self::Http),
            _ => None,
        }
    }

    /// Returns an address that is as good as any for asking what the service offers.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Folder => "fs:.",
            Self::S3 => "s3://bucket?region=us-east-1",
            Self::Azblob => "azblob://container?account=account",
            Self::Gcs => "gcs://bucket",
            Self::Sftp => "sftp://host/path",
            Self::Webdav => "webdav+https://host/path",
            Self::GitHub => "github:owner/repo",
            Self::Http => "https://host/path",
            Self::Command => "command",
            Self::Memory => "memory:",
        }
    }

    /// Returns the options of an address, each with its OpenDAL setting.
    fn option_settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::S3 => &[
                ("region", "region"),
                ("endpoint", "endpoint"),
                ("profile", "profile"),
                ("virtual-host-style", "enable_virtual_host_style"),
                ("storage-class", "default_storage_class"),
                ("encryption", "server_side_encryption"),
                ("acl", "default_acl"),
            ],
            Self::Azblob => &[("account", "account_name"), ("endpoint", "endpoint")],
            Self::Gcs => &[("endpoint", "endpoint"), ("storage-class", "default_storage_class")],
            // Not settings of OpenDAL.
            Self::GitHub => &[("branch", ""), ("tag", "")],
            Self::Sftp => &[("identity", "key"), ("known-hosts", "known_hosts_strategy")],
            Self::Folder | Self::Memory | Self::Command | Self::Webdav | Self::Http => &[],
        }
    }
}

impl Remote {
    /// Returns the settings of the OpenDAL service. `environment` answers for a variable of the process.
    pub(super) fn settings(&self, environment: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
        let mut settings = vec![("root".to_owned(), format!("/{}", self.path))];
        let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
        for (option, value) in &self.options {
            let known = self.service.option_settings().iter().find(|(name, _)| name == option);
            if let Some((_, setting)) = known {
                set(setting, value.clone());
            }
        }
        match self.service {
            Service::S3 | Service::Gcs => set("bucket", self.authority.clone()),
            Service::Azblob => {
                set("container", self.authority.clone());
                let account =
                    self.option("account").map(str::to_owned).or_else(|| environment("AZURE_STORAGE_ACCOUNT"));
                if let Some(account) = account {
                    if self.option("endpoint").is_none() {
                        set("endpoint", format!("https://{account}.blob.core.windows.net"));
                    }
                    set("account_name", account);
                }
                if let Some(key) = environment("AZURE_STORAGE_KEY") {
                    set("account_key", key);
                }
            }
            Service::Sftp => {
                let (user, host) = self.authority.rsplit_once('@').unwrap_or(("", &self.authority));
                set("endpoint", format!("ssh://{host}"));
                if !user.is_empty() {
                    set("user", user.to_owned());
                }
            }
            Service::Webdav => {
                let transport = self.scheme.trim_start_matches("webdav+");
                set("endpoint", format!("{transport}://{}", self.authority));
                for (variable, setting) in
                    [("WEBDAV_USERNAME", "username"), ("WEBDAV_PASSWORD", "password"), ("WEBDAV_TOKEN", "token")]
                {
                    if let Some(value) = environment(variable) {
                        set(setting, value);
                    }
                }
            }
            Service::Http => set("endpoint", format!("{}://{}", self.scheme, self.authority)),
            Service::Folder | Service::Memory | Service::Command | Service::GitHub => {}
        }
        settings
    }

    /// Tells whether another server is asked than the cloud's own: one of which nobody knows what it makes of conditions.
    pub(super) fn is_elsewhere(&self, environment: impl Fn(&str) -> Option<String>) -> bool {
        let variables = match self.service {
            Service::S3 => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"][..],
            _ => &[],
        };
        self.option("endpoint").is_some() || variables.iter().any(|variable| environment(variable).is_some())
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(option, _)| option == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::super::uri::StorageUri;
    use std::collections::BTreeMap;

    fn settings(uri: &str, environment: &[(&str, &str)]) -> BTreeMap<String, String> {
        let StorageUri::Remote(remote) = StorageUri::parse(uri).unwrap() else { panic!("{uri} is local") };
        let known: BTreeMap<_, _> = environment.iter().copied().collect();
        remote.settings(|name| known.get(name).map(|value| (*value).to_owned())).into_iter().collect()
    }

    fn expect(found: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
        let expected: BTreeMap<_, _> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(*found, expected);
    }

    #[test]
    #[cfg(all(feature = "s3", feature = "azblob", feature = "sftp", feature = "webdav"))]
    fn addresses_become_settings() {
        expect(
            &settings("s3://b/some/where?region=eu&endpoint=http://127.0.0.1:1&virtual-host-style=true", &[]),
            &[
                ("root", "/some/where"),
                ("bucket", "b"),
                ("region", "eu"),
                ("endpoint", "http://127.0.0.1:1"),
                ("enable_virtual_host_style", "true"),
            ],
        );
        expect(
            &settings("azblob://c", &[("AZURE_STORAGE_ACCOUNT", "a"), ("AZURE_STORAGE_KEY", "k")]),
            &[
                ("root", "/"),
                ("container", "c"),
                ("endpoint", "https://a.blob.core.windows.net"),
                ("account_name", "a"),
                ("account_key", "k"),
            ],
        );
        expect(
            &settings("sftp://me@host:22/srv/x?known-hosts=add&identity=/k", &[]),
            &[
                ("root", "/srv/x"),
                ("endpoint", "ssh://host:22"),
                ("user", "me"),
                ("known_hosts_strategy", "add"),
                ("key", "/k"),
            ],
        );
        expect(
            &settings("webdav+http://h:1/p/", &[("WEBDAV_USERNAME", "u"), ("WEBDAV_PASSWORD", "p")]),
            &[("root", "/p"), ("endpoint", "http://h:1"), ("username", "u"), ("password", "p")],
        );
    }
}
