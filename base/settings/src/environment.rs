//! What the environment says: read once, at the start, by this file alone.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The variables that Skerry looks at.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `SKERRY_DATA`: the data folder.
    pub data: Option<PathBuf>,
    /// `SKERRY_WORKERD`: the engine's program.
    pub workerd: Option<PathBuf>,
    /// `SKERRY_LOG`: a log filter such as `info` or `kv=debug`.
    pub log: Option<String>,
    /// `SKERRY_LOG_FORMAT`: `pretty` or `json`.
    pub log_format: Option<String>,
    /// `SKERRY_FAULT_FILE`: debug builds crash as often as this file says, for tests.
    pub fault_file: Option<PathBuf>,
    /// `XDG_DATA_HOME`: where data folders lie.
    pub xdg_data_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `PATH`, for finding the engine.
    pub path: Option<OsString>,
    /// Whether `NO_COLOR` is set.
    pub no_color: bool,
}

impl Environment {
    /// Reads the process's environment. Empty variables count as unset.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
    pub fn read() -> Self {
        let text = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        let string = |name: &str| text(name).and_then(|value| value.into_string().ok());
        Self {
            data: path("SKERRY_DATA"),
            workerd: path("SKERRY_WORKERD"),
            log: string("SKERRY_LOG"),
            log_format: string("SKERRY_LOG_FORMAT"),
            fault_file: path("SKERRY_FAULT_FILE"),
            xdg_data_home: path("XDG_DATA_HOME"),
            home: path("HOME"),
            path: text("PATH"),
            no_color: text("NO_COLOR").is_some(),
        }
    }

    /// The data folder: the flag's value, else `SKERRY_DATA`, else `${XDG_DATA_HOME:-~/.local/share}/skerry`. `None` if
    /// not even the home folder is known.
    #[must_use]
    pub fn data_folder(&self, flag: Option<&Path>) -> Option<PathBuf> {
        if let Some(named) = flag.map(Path::to_owned).or_else(|| self.data.clone()) {
            return Some(std::path::absolute(&named).unwrap_or(named));
        }
        let home = || self.home.as_ref().map(|home| home.join(".local/share"));
        self.xdg_data_home.clone().or_else(home).map(|base| base.join("skerry"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::Environment;

    #[test]
    fn the_data_folder_is_the_flags_then_the_variables_then_the_homes() {
        let mut environment = Environment { home: Some("/home/ada".into()), ..Environment::default() };
        let folder =
            |environment: &Environment, flag: Option<&str>| environment.data_folder(flag.map(Path::new));
        assert_eq!(folder(&environment, None), Some(PathBuf::from("/home/ada/.local/share/skerry")));
        environment.xdg_data_home = Some("/x".into());
        assert_eq!(folder(&environment, None), Some(PathBuf::from("/x/skerry")));
        environment.data = Some("/data".into());
        assert_eq!(folder(&environment, None), Some(PathBuf::from("/data")));
        assert_eq!(folder(&environment, Some("/flag")), Some(PathBuf::from("/flag")));
    }
}
