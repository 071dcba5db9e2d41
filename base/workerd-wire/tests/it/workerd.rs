//! Where the pinned workerd lies.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A command that runs the pinned workerd.
pub(crate) fn command() -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "this test is about the program itself, not a process of ours"
    )]
    Command::new(path())
}

fn path() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "where a test finds its program is no setting of ours")]
    let path = std::env::var_os("SKERRY_WORKERD").map_or_else(installed, PathBuf::from);
    assert!(
        path.exists(),
        "no workerd at {}: set SKERRY_WORKERD to one, or install it there",
        path.display()
    );
    path
}

fn installed() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies in base/");
    let package = match std::env::consts::ARCH {
        "aarch64" => workerd_wire::NPM_PACKAGE_LINUX_ARM64,
        _ => workerd_wire::NPM_PACKAGE_LINUX_X64,
    };
    root.join("target/clients/node_modules").join(package).join("bin/workerd")
}
