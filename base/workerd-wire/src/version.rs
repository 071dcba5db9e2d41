//! The one version of workerd that Skerry runs: its schema, its flags and its quirks are those of this crate.

/// The version of the npm packages.
pub const WORKERD_VERSION: &str = "1.20261117.1";

/// What `workerd --version` prints, without the line's end.
pub const WORKERD_VERSION_LINE: &str = "workerd 2026-11-17";

/// The npm package with `bin/workerd` for Linux on x86-64.
pub const NPM_PACKAGE_LINUX_X64: &str = "@cloudflare/workerd-linux-64";

/// The npm package with `bin/workerd` for Linux on 64-bit ARM.
pub const NPM_PACKAGE_LINUX_ARM64: &str = "@cloudflare/workerd-linux-arm64";
