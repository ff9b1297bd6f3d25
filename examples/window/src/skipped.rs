//! The version that the user does not want, in a file below the user's configuration.

use std::path::PathBuf;

pub struct Skipped {
    file: Option<PathBuf>,
}

impl Skipped {
    /// `$XDG_CONFIG_HOME/window/skipped-version`, else below `$HOME/.config` or `%APPDATA%`.
    pub fn of_this_user() -> Self {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || folder("HOME").map(|home| home.join(".config"));
        let config = folder("XDG_CONFIG_HOME").or_else(|| folder("APPDATA")).or_else(home);
        Self { file: config.map(|config| config.join("window/skipped-version")) }
    }

    pub fn is(&self, version: &str) -> bool {
        let text = self.file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        text.is_some_and(|text| text.trim() == version)
    }

    pub fn remember(&self, version: &str) {
        let Some(file) = &self.file else { return };
        let folder = file.parent().unwrap_or(file);
        // What cannot be kept is asked about again.
        if let Err(error) = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(file, format!("{version}\n")))
        {
            eprintln!("window: the choice is not kept: {error}");
        }
    }
}
