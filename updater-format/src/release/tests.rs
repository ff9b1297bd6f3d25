use super::*;

fn bundle(install: InstallKind) -> Entry {
    Entry::Bundle(BundleEntry {
        artifact: Artifact { name: TargetName::parse("x.tar.xz").unwrap(), length: 1, sha256: Sha256::of(b"") },
        version: ReleaseVersion::parse("1.0.0").unwrap(),
        platform: Platform::parse("aarch64-apple-darwin").unwrap(),
        install,
        unpacked: 1,
        files: 1,
        manifest: Sha256::of(b"x"),
        codecs: Vec::new(),
        epoch: 0,
        libc: None,
        notes: None,
        released: None,
        metadata: Map::new(),
        component: None,
        minimum_app: None,
    })
}

#[test]
fn an_app_bundle_has_a_format_number_that_clients_without_them_pass_over() {
    let app = AppId::parse("hello").unwrap();
    for kind in InstallKind::OF_APPS {
        let entry = bundle(kind);
        let (name, file) = entry.to_target(&app);
        let number = file.custom.as_ref().unwrap()["fmt"].clone();
        assert_eq!(number, if kind == InstallKind::AppBundle { 2 } else { 1 }, "{kind}");
        assert_eq!(Entry::from_target(&name, &file).unwrap(), Some((app.clone(), entry)));
        // Neither number goes with the other's kinds; a third one is passed over.
        let numbered = |number: u64| {
            let mut file = file.clone();
            file.custom.as_mut().unwrap()["fmt"] = number.into();
            Entry::from_target(&name, &file)
        };
        let other = if number == 1 { 2 } else { 1 };
        assert!(matches!(numbered(other), Err(FormatError::Invalid { what: "install kind", .. })), "{kind}");
        assert_eq!(numbered(3).unwrap(), None);
    }
}
