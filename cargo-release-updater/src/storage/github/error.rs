//! What GitHub answered that is no success, and what to do about it.

/// Why something could not be done on GitHub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitHubError {
    /// There is no token.
    #[error("there is no token for {host}")]
    NoToken {
        /// The host.
        host: String,
    },
    /// The variable that names the API names none.
    #[error("GITHUB_API_URL is {url:?}: {rule}")]
    ApiUrl {
        /// Its value.
        url: String,
        /// What it must be.
        rule: &'static str,
    },
    /// The token is no valid one (401).
    #[error("GitHub does not take the token: {message}")]
    Token {
        /// What GitHub said.
        message: String,
    },
    /// The token may not do this (403).
    #[error("the token may not do this: {message}")]
    Forbidden {
        /// What GitHub said.
        message: String,
    },
    /// There is no such repository, or the token may not see it.
    #[error("there is no repository {slug}, or the token may not see it")]
    NoRepository {
        /// Owner and repository.
        slug: String,
    },
    /// The repository has no commit yet.
    #[error("the repository is empty")]
    Empty,
    /// There is no tag to release, and nothing says which commit it would be for.
    #[error("there is no tag {tag}")]
    NoTag {
        /// The tag.
        tag: String,
    },
    /// The release was published as an immutable one.
    #[error("the release {tag} is immutable")]
    Immutable {
        /// Its tag.
        tag: String,
    },
    /// GitHub asks to come back later than is waited for.
    #[error("GitHub asks for a pause of {seconds} s: {message}")]
    RateLimit {
        /// How long, in seconds.
        seconds: u64,
        /// What GitHub said.
        message: String,
    },
    /// The request is refused (422).
    #[error("GitHub refuses it: {message}")]
    Refused {
        /// What GitHub said, with the codes of its errors.
        message: String,
    },
    /// Another status.
    #[error("GitHub answered with status {status}: {message}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What GitHub said.
        message: String,
    },
    /// No answer, or half of one.
    #[error("{host} did not answer: {detail}")]
    Network {
        /// The host.
        host: String,
        /// What the system said.
        detail: String,
    },
    /// The answer is none of GitHub's API.
    #[error("the answer is not one of GitHub's: {detail}")]
    Answer {
        /// What is wrong with it.
        detail: String,
    },
    /// The branch moves faster than commits are made.
    #[error("the branch {branch} was changed {times} times while a commit to it was made")]
    Busy {
        /// The branch.
        branch: String,
        /// How often.
        times: u32,
    },
    /// A folder of the branch has more entries than GitHub lists.
    #[error("a folder of the branch has more entries than GitHub lists")]
    Truncated,
    /// A file is larger than an asset may be.
    #[error("an asset must have less than {limit} bytes, and this has {length}")]
    AssetTooLarge {
        /// The bytes of the file.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// GitHub stored an asset under another name.
    #[error("GitHub stored it as {found:?}")]
    Renamed {
        /// The name.
        found: String,
    },
    /// An asset that is published has other bytes.
    #[error("the release has it with other bytes")]
    Differs,
    /// What was uploaded is not what comes back.
    #[error("what comes back is not what was sent")]
    NotAsSent,
    /// A local file cannot be read.
    #[error("a file cannot be read")]
    Io {
        /// What the system said.
        source: std::io::Error,
    },
    /// Only files of releases are uploaded.
    #[error("only files of a release can be uploaded")]
    NoAsset,
    /// More bytes than the reader wants.
    #[error("it is larger than it may be")]
    TooLarge,
}

impl GitHubError {
    /// Tells whether the same may succeed when it is tried again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Network { .. } | Self::NotAsSent => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoToken { .. } => {
                "set GH_TOKEN or GITHUB_TOKEN: `export GH_TOKEN=$(gh auth token)`, or in a workflow `env: GITHUB_TOKEN: \
                 ${{ github.token }}`; a workflow that a pull request from a fork starts has no secrets and cannot publish"
                    .to_owned()
            }
            Self::ApiUrl { .. } => "unset it, or set it to https://HOST/api/v3 of your server".to_owned(),
            Self::Token { .. } => "it may have expired: make a new one, for example with `gh auth refresh`".to_owned(),
            Self::Forbidden { .. } => {
                "it needs to write `Contents` of the repository: in a workflow `permissions: contents: write` in the job; a \
                 workflow that a pull request from a fork starts may only read"
                    .to_owned()
            }
            Self::NoRepository { .. } => {
                "correct `storage`, or take a token that may read and write `Contents` there".to_owned()
            }
            Self::Empty => "push the project there first: `git push origin HEAD`".to_owned(),
            Self::NoTag { tag } => {
                format!("push it, so that the release says what it was built from: `git tag {tag}` and `git push origin {tag}`")
            }
            Self::Immutable { .. } => {
                "files cannot be added to it any more: raise `version` in Cargo.toml and publish that; let `cargo updater publish` \
                 make the release, it fills a draft first"
                    .to_owned()
            }
            Self::RateLimit { .. } => "run the same command again after that time; it continues".to_owned(),
            Self::Renamed { .. } => "names must have only A-Z a-z 0-9 . _ - and no dot at an end".to_owned(),
            Self::AssetTooLarge { .. } => "make the bundle smaller, or publish to another storage".to_owned(),
            Self::Truncated => "publish below a folder of its own: `github:OWNER/REPO/FOLDER`".to_owned(),
            Self::Busy { .. } | Self::Network { .. } => "run the same command again; it continues".to_owned(),
            Self::Status { status, .. } if *status >= 500 => "run the same command again; it continues".to_owned(),
            Self::Refused { .. } | Self::Status { .. } | Self::Answer { .. } => {
                "look at the release and the branch on GitHub; docs/github.md says what should be there".to_owned()
            }
            Self::Differs | Self::NotAsSent | Self::Io { .. } | Self::NoAsset | Self::TooLarge => {
                "run the same command again; it continues".to_owned()
            }
        }
    }
}
