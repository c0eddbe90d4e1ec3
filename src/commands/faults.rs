//! What is wrong with the arguments and the settings of a command, told together.

use super::error::CommandError;
use crate::env::ConfigErrors;

#[derive(Debug, Default)]
pub(super) struct Faults {
    /// By the name of the option.
    pub(super) arguments: ConfigErrors,
    /// By the name of the variable.
    pub(super) settings: ConfigErrors,
}

impl Faults {
    /// Returns all of them as one error; wrong usage if nothing else is wrong.
    pub(super) fn into_error(self) -> Option<CommandError> {
        let Self {
            arguments,
            mut settings,
        } = self;
        if !settings.is_empty() {
            settings.append(arguments);
            Some(settings.into())
        } else if !arguments.is_empty() {
            Some(CommandError::usage(arguments))
        } else {
            None
        }
    }
}
