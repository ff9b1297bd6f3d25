//! Which roles end before long, and what renews each. One answer for `status`, `publish`, `refresh` and
//! `doctor`. Pure.

use crate::shell::Message;
use updater_format::UtcTime;

/// A role with the time that it has left.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RoleExpiry {
    /// The role.
    pub role: String,
    /// When it ends.
    #[cfg_attr(test, schemars(with = "String"))]
    pub expires: UtcTime,
    /// Whole days until then; negative when it is over.
    pub days_left: i64,
}

impl Message for RoleExpiry {
    const REASON: &'static str = "expiry";
}

impl RoleExpiry {
    /// Looks at one role.
    #[must_use]
    pub fn of(role: &str, expires: UtcTime, now: UtcTime) -> Self {
        Self { role: role.to_owned(), expires, days_left: (expires.unix() - now.unix()).div_euclid(DAY) }
    }

    /// Tells whether somebody has to act.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.days_left < warn_below(&self.role)
    }

    /// Returns what renews the role.
    #[must_use]
    pub fn cure(&self) -> String {
        match self.role.as_str() {
            "root" | "targets" => format!("its holders renew it with `cargo updater keys renew {}`", self.role),
            "snapshot" | "timestamp" => {
                "`cargo updater refresh` or the next `cargo updater publish` renews it".to_owned()
            }
            _ => format!("`cargo updater keys renew {}` or the next release renews it", self.role),
        }
    }

    /// Tells it in one line.
    #[must_use]
    pub fn warning(&self) -> String {
        let verb = if self.days_left < 0 { "expired" } else { "expires" };
        format!("the role {} {verb} on {}; {}", self.role, self.expires, self.cure())
    }
}

/// Returns the roles that come near their end.
#[must_use]
pub fn near(expiries: &[(String, UtcTime)], now: UtcTime) -> Vec<RoleExpiry> {
    expiries.iter().map(|(role, expires)| RoleExpiry::of(role, *expires, now)).filter(RoleExpiry::is_near).collect()
}

/// Returns from how many days before its end on a role is worth a warning.
fn warn_below(role: &str) -> i64 {
    match role {
        // Its holders have to meet; most groups do four times a year.
        "root" | "targets" => 90,
        "timestamp" => 3,
        _ => 30,
    }
}

/// Seconds of a day.
const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_warns_in_its_own_time_and_names_what_helps() {
        let now = UtcTime::from_unix(1_800_000_000);
        for (role, days, command) in [
            ("root", 90, "cargo updater keys renew root"),
            ("targets", 90, "cargo updater keys renew targets"),
            ("timestamp", 3, "cargo updater refresh"),
            ("snapshot", 30, "cargo updater refresh"),
            ("stable", 30, "cargo updater keys renew stable"),
        ] {
            assert!(near(&[(role.to_owned(), now.plus_days(days))], now).is_empty(), "{role}");
            let near = near(&[(role.to_owned(), now.plus_days(days).plus_seconds(-1))], now);
            assert_eq!((near.len(), near[0].days_left), (1, days - 1), "{role}");
            assert!(near[0].warning().contains(command), "{}", near[0].warning());
        }
        let over = RoleExpiry::of("root", now.plus_seconds(-1), now);
        assert_eq!(over.days_left, -1);
        assert!(over.warning().starts_with("the role root expired on"), "{}", over.warning());
    }
}
