//! Clients that are programs of their own, and that speak to a server as `skerry env` tells them.

use std::{path::PathBuf, process::Command};

use crate::{Clients, Server, clients::repository, command};

impl Server {
    /// Runs a program that speaks to the server, to its end; what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub async fn run(&self, mut program: Command) -> String {
        program.env_clear().env("LANG", "C.UTF-8").envs(self.environment());
        let output = tokio::task::spawn_blocking(move || program.output()).await.expect("no panic");
        let output = output.expect("start the program");
        let errors = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{printed}\n{errors}");
        printed
    }

    /// Runs a JavaScript program of `testing/clients`, which checks every answer itself.
    pub async fn run_node(&self, name: &str) {
        let clients = Clients::find();
        let mut node = command(clients.node());
        node.arg(program(name)).arg(clients.modules());
        self.run(node).await;
    }

    /// The same with Python, where there is one.
    pub async fn run_python(&self, name: &str) {
        let Some(python) = Clients::find().python() else { return };
        let mut python = command(python);
        python.arg("-B").arg(program(name));
        self.run(python).await;
    }
}

fn program(name: &str) -> PathBuf {
    repository().join("testing/clients").join(name)
}
