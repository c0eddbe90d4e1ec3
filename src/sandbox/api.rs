//! The list of services. A new one is a file in this folder and three lines here.

use chrono::{DateTime, TimeDelta, Utc};

use super::event::Event;
use super::generate::{self, SampleError};
use super::service::Service;
use super::{port, terraform, yandex, yandex_audit};

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// Yandex 360, mail.
    Mail,
    /// Yandex 360, disk.
    Disk,
    /// Yandex 360, the unified audit log.
    Audit,
    /// Port.
    Port,
    /// HCP Terraform.
    Tfc,
}

impl Api {
    /// All services, in the order of their numbers.
    pub const ALL: [Api; 5] = [Api::Mail, Api::Disk, Api::Audit, Api::Port, Api::Tfc];

    pub(super) fn service(self) -> &'static Service {
        match self {
            Api::Mail => &yandex::MAIL,
            Api::Disk => &yandex::DISK,
            Api::Audit => &yandex_audit::AUDIT,
            Api::Port => &port::PORT,
            Api::Tfc => &terraform::TERRAFORM,
        }
    }

    /// Returns the name of the stream that is collected from it.
    pub fn name(self) -> &'static str {
        self.service().name
    }

    /// Returns how long the service keeps a record; for Yandex, which does not document it, what clients ask for.
    pub(crate) fn retention(self) -> TimeDelta {
        (self.service().behavior)().retention.unwrap_or(TimeDelta::MAX)
    }
}

impl Event {
    /// Creates the smallest record that this service can have.
    pub fn minimal(api: Api, time: DateTime<Utc>, id: impl Into<String>) -> Self {
        let id = id.into();
        let text = (api.service().minimal)(time, &id);
        Self { time, id, text }
    }
}

/// Returns the records of the sample pages of a service, in order, each with its own time and text.
///
/// # Errors
///
/// If a page is not JSON of the right shape.
pub fn samples(api: Api) -> Result<Vec<Event>, SampleError> {
    generate::samples(&api.service().recipe)
}
