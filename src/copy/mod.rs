//! Copies of archives on another disk or in object storage, and the way back.
//!
//! Imports: archive, config, coverage, env, evidence, forward, fs, http, process.
//!
//! A copy is made of objects that are written once, never replaced and never deleted, so that a bucket may lock them: parts of files,
//! named after what they hold, and a manifest for each copy, which is written last. What an earlier copy has is never given up for
//! something worse: a byte that differs, a file that is missing.
//!
//! Below, a module imports only from those above it.

mod address;
mod part;
mod manifest;
mod store;
mod folder_store;
#[cfg(feature = "object-storage")]
mod connector;
#[cfg(feature = "object-storage")]
mod objects;
mod snapshot;
mod sender;
mod file_copier;
mod section_copier;
mod copier;
mod restorer;

pub(crate) use address::Address;
pub(crate) use copier::{Copied, CopiedSection, Copier, CopyError};
pub(crate) use manifest::EVIDENCE;
pub(crate) use restorer::{RestoreError, Restored, Restorer};
#[cfg(test)]
pub(crate) use store::Put;
pub(crate) use store::{Store, StoreError};

use tokio::runtime::Handle;

use crate::config::ObjectStorageSettings;

impl Address {
    /// Whether it is in object storage, which has settings.
    pub(crate) fn is_of_objects(&self) -> bool {
        matches!(self, Self::Objects { .. })
    }

    /// Opens the store. What object storage is asked for is waited for on `runtime`, by threads that may block.
    ///
    /// # Errors
    /// If it cannot be used, as a folder that is missing; object storage is not asked yet.
    pub(crate) fn open(
        &self,
        settings: Option<&ObjectStorageSettings>,
        runtime: Handle,
    ) -> Result<Box<dyn Store>, StoreError> {
        match (self, settings) {
            (Self::Folder(folder), _) => Ok(Box::new(folder_store::FolderStore::new(folder)?)),
            #[cfg(feature = "object-storage")]
            (
                Self::Objects {
                    service,
                    bucket,
                    prefix,
                },
                Some(settings),
            ) => Ok(Box::new(objects::Objects::new(
                *service, bucket, prefix, settings, runtime,
            )?)),
            (Self::Objects { .. }, _) => {
                drop(runtime);
                Err(StoreError::new(
                    "this program was built without object storage (the feature `object-storage`)",
                ))
            }
        }
    }
}
