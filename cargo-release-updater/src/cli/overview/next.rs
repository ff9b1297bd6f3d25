//! One thing that comes next: how urgent it is, what is the matter, and the command for it.

use crate::config::Project;
use crate::context::Context;
use crate::doctor::{Finding, Severity};
use crate::expiry::RoleExpiry;
use crate::shell::Message;

/// How soon somebody should act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Urgency {
    /// Releases or updates do not work before it is done.
    Now,
    /// It works today and will not always.
    Soon,
    /// The next step of the work, whenever it is wanted.
    WhenWanted,
}

/// One thing that comes next.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Next {
    /// The name of this kind of step, kebab-case; those that `doctor` finds have the code that they have there.
    pub(super) code: &'static str,
    /// How soon somebody should act.
    pub(super) urgency: Urgency,
    /// What is the matter.
    pub(super) what: String,
    /// What helps: a command, or what a person does.
    pub(super) help: String,
}

impl Message for Next {
    const REASON: &'static str = "next";
}

impl Next {
    pub(super) fn new(code: &'static str, urgency: Urgency, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, urgency, what: what.into(), help: help.into() }
    }

    /// A package that does not use the updater yet.
    pub(super) fn set_up(project: &Project) -> Self {
        match project.programs.is_empty() {
            true => Self::new(
                "no-program",
                Urgency::WhenWanted,
                "the package has no program, and only programs update themselves",
                "add src/main.rs, or name another package with `-p`",
            ),
            false => Self::new(
                "set-up",
                Urgency::WhenWanted,
                "makes keys, the trusted root, the settings and build.rs; with `--dev` only for trying out on this machine",
                "cargo updater init --url https://example.com/APP, or `cargo updater init --dev`",
            ),
        }
    }

    /// A workspace none of whose packages uses the updater yet.
    pub(super) fn set_up_one_of(names: &[&str]) -> Self {
        let what = format!("the packages are {}", names.join(", "));
        Self::new("set-up", Urgency::WhenWanted, what, "cargo updater init -p NAME")
    }

    /// A folder that is no package.
    pub(super) fn outside() -> [Self; 2] {
        [
            Self::new(
                "demo",
                Urgency::WhenWanted,
                "shows the whole loop on this machine with a throw-away app, and removes it again",
                "cargo updater demo",
            ),
            Self::new(
                "set-up",
                Urgency::WhenWanted,
                "an app of your own that updates itself from this machine",
                "cargo new APP && cd APP && cargo updater init --dev",
            ),
        ]
    }

    /// What an examination found; notes are for `doctor`.
    pub(super) fn of_finding(finding: &Finding) -> Option<Self> {
        let urgency = match finding.severity {
            Severity::Error => Urgency::Now,
            Severity::Warning => Urgency::Soon,
            Severity::Note => return None,
        };
        let what = match finding.why.is_empty() {
            true => finding.what.clone(),
            false => format!("{}; {}", finding.what, finding.why),
        };
        Some(Self::new(finding.code, urgency, what, &finding.cure))
    }

    /// A role that ends before long, or has.
    pub(super) fn of_expiry(expiry: &RoleExpiry) -> Self {
        let (code, urgency, verb) = match expiry.days_left {
            ..0 => ("expired", Urgency::Now, "expired"),
            _ => ("expires-soon", Urgency::Soon, "expires"),
        };
        let what = format!("the role {} {verb} on {}; clients install nothing then", expiry.role, expiry.expires);
        Self::new(code, urgency, what, expiry.cure())
    }
}

/// Tells what comes next, in the order that is given.
pub(super) fn tell(context: &Context, all: &[Next]) {
    if !all.is_empty() {
        context.shell.result("\nnext");
    }
    for (index, next) in all.iter().enumerate() {
        let when = match next.urgency {
            Urgency::Now => "now: ",
            Urgency::Soon => "soon: ",
            Urgency::WhenWanted => "",
        };
        context.shell.result(format_args!("  {}. {when}{}\n     -> {}", index + 1, next.what, next.help));
        context.shell.message(next);
    }
}
