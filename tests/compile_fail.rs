//! What the compiler says about wrong handlers: each file of `tests/compile_fail` must not compile, and
//! the compiler must say what stands behind each `//~`, at a place in the line above.
//!
//! Not `trybuild`: it builds librdkafka and all other dependencies anew, twice, into a folder of its
//! own, and compares every line of the compiler's words, which change.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

#[test]
fn mistakes_are_named() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let mut count = 0;
    for case in fs::read_dir(cases).expect("the cases") {
        check(&case.expect("a case").path());
        count += 1;
    }
    assert_eq!(count, 6);
}

fn check(case: &Path) {
    let dependencies = dependencies();
    let out = env::temp_dir().join(format!("compile-fail-{}", std::process::id()));
    let compiled = Command::new(env::var("RUSTC").unwrap_or("rustc".to_owned()))
        .args([
            "--edition=2024",
            "--crate-type=lib",
            "--emit=metadata",
            "-o",
        ])
        .arg(&out)
        .arg(format!("-Ldependency={}", dependencies.display()))
        .arg(format!(
            "--extern=kafka_tower={}",
            library(&dependencies).display()
        ))
        .arg(case)
        .output()
        .expect("the compiler");
    let said = String::from_utf8_lossy(&compiled.stderr);
    let _ = fs::remove_file(out);
    assert!(!compiled.status.success(), "{} compiles", case.display());
    assert!(!said.contains("can't find crate"), "{said}");

    let source = fs::read_to_string(case).expect("the case");
    let mut wanted = 0;
    let mut line = 0;
    for (number, text) in (1..).zip(source.lines()) {
        let Some((_, expected)) = text.split_once("//~ ") else {
            line = number;
            continue;
        };
        wanted += 1;
        let place = format!("{}:{line}:", case.display());
        // An error begins where the one before it has ended.
        let told = said
            .split("\nerror")
            .any(|error| error.contains(&place) && error.contains(expected));
        assert!(told, "{place} {expected:?} is missing in\n{said}");
    }
    assert!(wanted > 0, "nothing is wanted of {}", case.display());
}

/// Where cargo has put this test, and with it all that it depends on.
fn dependencies() -> PathBuf {
    let this = env::current_exe().expect("this test");
    this.parent().expect("its folder").to_owned()
}

/// The library as it was built for this test: the newest one, since none is older than the sources.
fn library(dependencies: &Path) -> PathBuf {
    let built = |path: &PathBuf| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    fs::read_dir(dependencies)
        .expect("the folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("libkafka_tower-") && name.ends_with(".rlib"))
        })
        .max_by_key(built)
        .expect("the library")
}
