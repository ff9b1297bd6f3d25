//! Target triples in words that people know, and in what a browser says of itself.

use updater_format::Platform;

/// A target triple as people call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The system, for people.
    pub(super) system: String,
    /// The processor, for people.
    pub(super) processor: String,
    /// The system as the page's script finds it: `linux`, `macos`, `windows`, or the triple's own word.
    pub(super) key: String,
}

impl Named {
    /// Names a triple. What is not known is named as it is.
    pub(super) fn of(platform: &Platform) -> Self {
        let mut parts = platform.as_str().split('-');
        let architecture = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let has = |word: &str| rest.iter().any(|part| part.starts_with(word));
        let (key, system) = if has("linux") && has("musl") {
            ("linux", "Linux (musl)".to_owned())
        } else if has("android") {
            ("android", "Android".to_owned())
        } else if has("linux") {
            ("linux", "Linux".to_owned())
        } else if has("darwin") {
            ("macos", "macOS".to_owned())
        } else if has("windows") {
            ("windows", "Windows".to_owned())
        } else if has("freebsd") {
            ("freebsd", "FreeBSD".to_owned())
        } else {
            (rest.last().copied().unwrap_or_default(), rest.join("-"))
        };
        Self { system, processor: processor(architecture, key), key: key.to_owned() }
    }

    /// Returns where a triple stands on the page: systems by how many people have them, and within one the usual processor
    /// first.
    pub(super) fn place(platform: &Platform) -> (usize, bool, usize) {
        let named = Self::of(platform);
        let position = |list: &[&str], word: &str| list.iter().position(|known| *known == word).unwrap_or(list.len());
        let architecture = platform.as_str().split('-').next().unwrap_or_default();
        let usual: &[&str] = if named.key == "macos" { &["aarch64", "x86_64"] } else { &["x86_64", "aarch64"] };
        // musl is the other way on Linux, whatever the processor.
        (
            position(&["windows", "macos", "linux"], &named.key),
            named.system.contains("musl"),
            position(usual, architecture),
        )
    }
}

fn processor(architecture: &str, system: &str) -> String {
    match (architecture, system) {
        ("x86_64", "macos") => "Intel",
        ("aarch64", "macos") => "Apple silicon",
        ("x86_64", _) => "64-bit Intel or AMD",
        ("aarch64", _) => "64-bit ARM",
        ("i686" | "i586", _) => "32-bit Intel or AMD",
        ("armv7" | "arm" | "thumbv7neon", _) => "32-bit ARM",
        ("riscv64gc", _) => "64-bit RISC-V",
        (other, _) => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_stand_together() {
        let order = [
            "x86_64-pc-windows-msvc",
            "aarch64-pc-windows-msvc",
            "aarch64-apple-darwin",
            "x86_64-apple-darwin",
            "x86_64-unknown-linux-gnu",
            "aarch64-unknown-linux-gnu",
            "x86_64-unknown-linux-musl",
            "x86_64-unknown-freebsd",
        ];
        let mut sorted = order;
        sorted.sort_unstable();
        sorted.sort_by_key(|triple| Named::place(&triple.parse().unwrap()));
        assert_eq!(sorted, order);
    }

    #[test]
    fn triples_have_names() {
        for (triple, system, processor, key) in [
            ("x86_64-unknown-linux-gnu", "Linux", "64-bit Intel or AMD", "linux"),
            ("aarch64-unknown-linux-musl", "Linux (musl)", "64-bit ARM", "linux"),
            ("armv7-unknown-linux-gnueabihf", "Linux", "32-bit ARM", "linux"),
            ("aarch64-apple-darwin", "macOS", "Apple silicon", "macos"),
            ("x86_64-pc-windows-msvc", "Windows", "64-bit Intel or AMD", "windows"),
            ("aarch64-linux-android", "Android", "64-bit ARM", "android"),
            ("sparcv9-sun-solaris", "sun-solaris", "sparcv9", "solaris"),
        ] {
            let named = Named::of(&triple.parse().unwrap());
            assert_eq!((named.system.as_str(), named.processor.as_str(), named.key.as_str()), (system, processor, key));
        }
    }
}
