//! The invariants of docs/ARCHITECTURE.md, over `cargo metadata` and the source tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// No file is longer.
const MAX_LINES: usize = 700;

/// Who may know whom inside the workspace (development dependencies are free).
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("graph", &["core"]),
    ("wire", &["core"]),
    ("dht", &["core", "wire"]),
    ("bitswap", &[]),
    ("node", &["core", "graph", "wire"]),
    ("net", &["core", "wire", "dht", "bitswap"]),
    ("blobs", &["core"]),
    ("store", &["core", "migrations"]),
    ("migrations", &[]),
    ("gateway", &["core", "graph", "node"]),
    ("testkit", &["core", "graph", "wire", "blobs"]),
    ("cli", &["core", "graph", "wire", "node", "net", "blobs", "store", "gateway"]),
];

/// Heavy dependencies, and the crates that alone may name them.
const KEPT_TO: &[(&str, &[&str])] = &[
    ("libp2p", &["net"]),
    ("libp2p-core", &["bitswap"]),
    ("libp2p-swarm", &["bitswap"]),
    ("libp2p-identity", &["bitswap", "blobs"]),
    ("hickory-resolver", &["net"]),
    ("sea-orm", &["store"]),
    ("sea-orm-migration", &["store", "migrations"]),
    ("axum", &["gateway", "cli"]),
    ("rust-unixfs", &["blobs"]),
    ("image", &["blobs"]),
    ("object_store", &["blobs", "cli"]),
    ("negentropy", &["dht"]),
    ("anyhow", &["cli"]),
    ("clap", &["cli"]),
    ("figment", &["cli"]),
];

/// Crates that others build on: no AGPL, no I/O, no clock, no global randomness.
const PURE: &[&str] = &["core", "graph", "wire", "dht"];

/// A protocol that others may take as it is: no AGPL either, but it measures time.
const PERMISSIVE: &[&str] = &["bitswap"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn packages() -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (package["name"].as_str().unwrap().to_owned(), package.clone())).collect()
}

fn dependencies<'a>(package: &'a Value, kind: Option<&'a str>) -> impl Iterator<Item = &'a str> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(move |dependency| dependency["kind"].as_str() == kind)
        .map(|dependency| dependency["name"].as_str().unwrap())
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let skipped = ["target", ".git", "node_modules"].iter().any(|skipped| name == **skipped);
        if entry.file_type().unwrap().is_dir() && !skipped {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["src", "gateway", "migrations", "tests", "examples"] {
        rust_files(&root().join(folder), &mut found);
    }
    found
}

#[test]
fn crates_know_only_whom_they_may() {
    let packages = packages();
    let allowed: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    for (name, package) in &packages {
        let Some(short) = name.strip_prefix("rustdht-") else {
            let own: Vec<_> = dependencies(package, None).filter(|name| name.starts_with("rustdht-")).collect();
            assert_eq!(own, ["rustdht-cli"], "the root package is the binary only");
            continue;
        };
        let may = allowed.get(short).unwrap_or_else(|| panic!("{short} is not in the table of who may know whom"));
        for other in dependencies(package, None).filter_map(|other| other.strip_prefix("rustdht-")) {
            assert!(may.contains(&other), "{short} may not know {other}");
        }
    }
    assert_eq!(packages.len(), MAY_KNOW.len() + 1, "every crate of the table exists");
}

#[test]
fn heavy_dependencies_stay_where_they_are_isolated() {
    for (name, package) in packages() {
        let short = name.strip_prefix("rustdht-").unwrap_or(&name);
        for dependency in dependencies(&package, None) {
            if let Some((_, holders)) = KEPT_TO.iter().find(|(kept, _)| *kept == dependency) {
                assert!(holders.contains(&short), "{short} may not depend on {dependency}");
            }
        }
    }
}

#[test]
fn pure_crates_are_pure_and_permissive() {
    let packages = packages();
    for short in PURE {
        let package = &packages[&format!("rustdht-{short}")];
        assert_eq!(package["license"], "MIT OR Apache-2.0", "{short}");
        let known: BTreeSet<&str> = dependencies(package, None).collect();
        for banned in ["tokio", "rand", "sea-orm", "libp2p", "reqwest", "axum", "chrono", "getrandom"] {
            assert!(!known.contains(banned), "{short} may not depend on {banned}");
        }
        let lib = fs::read_to_string(root().join("src").join(short).join("lib.rs")).unwrap();
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{short} forbids unsafe code");
    }
    for (name, package) in &packages {
        let permissive = PURE.iter().chain(PERMISSIVE).any(|short| *name == format!("rustdht-{short}"));
        let license = if permissive { "MIT OR Apache-2.0" } else { "AGPL-3.0-or-later" };
        assert_eq!(package["license"], license, "{name}");
    }
}

#[test]
fn pure_crates_read_no_clock_and_no_disk() {
    for path in sources() {
        let relative = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let pure = PURE.iter().any(|short| relative.starts_with(&format!("src/{short}/")));
        if !pure || relative.contains("/tests") || relative.contains("/examples") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for banned in ["std::fs", "std::net", "SystemTime", "Instant::now", "std::env", "std::thread", "rand::"] {
            assert!(!code.contains(banned), "{relative} uses {banned}");
        }
    }
}

/// Whether code uses a module of `std`, by its path or out of a group of imports.
fn uses_std(code: &str, module: &str) -> bool {
    let grouped = code.split("std::{").skip(1).filter_map(|rest| rest.split("};").next());
    let mut names = grouped.flat_map(|group| group.split(|c: char| !c.is_alphanumeric() && c != '_'));
    code.contains(&format!("std::{module}")) || names.any(|name| name == module)
}

#[test]
fn only_the_command_line_reads_files_and_environment() {
    assert!(uses_std("use std::{\n    fs::{File},\n};", "fs") && uses_std("std::env::var()", "env"));
    assert!(!uses_std("use std::{io};\nfs.read()", "fs"));
    for path in sources() {
        let relative = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let aside = ["tests", "examples", "src/cli/", "src/testkit/"].iter().any(|start| relative.starts_with(start));
        if aside || relative.contains("/tests") || relative.contains("/examples") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        assert!(!uses_std(code, "env"), "{relative} reads the environment");
        let folder_is_given = ["src/blobs/", "src/store/"].iter().any(|start| relative.starts_with(start));
        assert!(folder_is_given || !(uses_std(code, "fs") || code.contains("tokio::fs")), "{relative} reads files");
    }
}

#[test]
fn files_are_short_and_crates_take_the_house_lints() {
    for path in sources() {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
        assert_ne!(path.file_name().unwrap(), "mod.rs", "{}", path.display());
    }
    for (name, package) in packages() {
        let manifest = fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} takes the workspace's lints");
    }
}

#[test]
fn every_refusal_code_has_its_page() {
    for code in rustdht_core::Code::ALL {
        let page = root().join("docs/errors").join(format!("{code}.md"));
        assert!(page.is_file(), "{} is missing", page.display());
    }
}

#[test]
fn the_main_program_is_thin() {
    let main = fs::read_to_string(root().join("src/main.rs")).unwrap();
    assert!(main.lines().count() <= 15, "src/main.rs only calls the command line");
}
