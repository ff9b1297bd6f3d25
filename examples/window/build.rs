//! Embeds the trusted root and the settings of `[package.metadata.updater]`.

fn main() {
    updater_build::embed();
}
