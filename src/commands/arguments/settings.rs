//! Where the settings are read from: the environment and a file, or a folder with a file for each organization.

use std::path::PathBuf;

use clap::Args;

use crate::env::{Env, EnvDir, Organization, env_dir};

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SettingsArguments {
    /// Read the settings from this file instead of .env in the working folder; the environment wins over it
    #[arg(long, value_name = "PATH")]
    pub(crate) env_file: Option<PathBuf>,

    /// Do it for each organization that has its settings in this folder: NAME.env, over common.env, over the environment
    #[arg(long, value_name = "DIR", conflicts_with = "env_file")]
    pub(crate) env_dir: Option<PathBuf>,

    /// Only these organizations [default: all in --env-dir]
    #[arg(
        long = "org",
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "env_file"
    )]
    pub(crate) organizations: Vec<String>,

    /// Those of the one whose turn it is, which were read with the others.
    #[arg(skip)]
    pub(crate) turn: Option<Turn>,
}

/// An organization whose turn it is.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    organization: Organization,
    env: Env,
    /// Whether others had theirs before.
    is_first: bool,
}

impl Turn {
    /// Takes the settings of an organization.
    pub(crate) fn of(organization: Organization, env: Env) -> Self {
        Self {
            organization,
            env,
            is_first: true,
        }
    }

    /// Says whether it is the first one.
    pub(crate) fn first_if(self, is_first: bool) -> Self {
        Self { is_first, ..self }
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.organization == other.organization
    }
}

impl Eq for Turn {}

impl SettingsArguments {
    /// Creates those of a settings file.
    pub(crate) fn of_file(path: PathBuf) -> Self {
        Self {
            env_file: Some(path),
            ..Self::default()
        }
    }

    /// Reads the settings; of the organization whose turn it is, if there are several.
    pub(crate) fn load(&self) -> Env {
        match (&self.turn, self.dir()) {
            (Some(turn), _) => turn.env.clone(),
            (None, Some(dir)) => EnvDir::new(&dir).shared().clone(),
            (None, None) => Env::load(self.env_file.as_deref()),
        }
    }

    /// Returns the organization whose turn it is, if there are several.
    pub(crate) fn organization(&self) -> Option<Organization> {
        self.turn.as_ref().map(|turn| turn.organization)
    }

    /// Returns whether another organization had its turn before.
    pub(crate) fn is_after_another(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| !turn.is_first)
    }

    /// Returns the folder with the settings of organizations, if there is one.
    pub(crate) fn dir(&self) -> Option<PathBuf> {
        let of_environment = || self.env_file.is_none().then(env_dir).flatten();
        self.env_dir.clone().or_else(of_environment)
    }
}
