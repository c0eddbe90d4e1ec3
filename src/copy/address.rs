//! Where a copy is: the URL of a folder, or of a place in object storage.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// The services of object storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    S3,
    Azure,
    Google,
}

/// The URL of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Folder(PathBuf),
    Objects {
        service: Service,
        bucket: String,
        /// In the bucket, without slashes at its ends.
        prefix: String,
    },
}

/// A text is not the URL of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error(
        "must be the URL of a folder (`file:///mnt/copies`) or of object storage (`s3://bucket/path`, `az://container/path`, `gs://bucket/path`), without a user, a query and a fragment"
    )]
    NoStore,
    #[error("must name a folder of this machine by its whole path, behind three slashes: `file:///mnt/copies`")]
    NotWhole,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no_store = AddressError::NoStore;
        let url = Url::parse(text).map_err(|_| no_store)?;
        let is_odd = !url.username().is_empty() || url.password().is_some();
        if is_odd || url.query().is_some() || url.fragment().is_some() || url.port().is_some() {
            return Err(no_store);
        }
        let service = match url.scheme() {
            "file" => return folder(text, &url).map(Self::Folder),
            "s3" => Service::S3,
            "az" | "azure" => Service::Azure,
            "gs" => Service::Google,
            _ => return Err(no_store),
        };
        let bucket = url.host_str().filter(|host| !host.is_empty()).ok_or(no_store)?;
        let prefix = url.path().trim_matches('/');
        if prefix.split('/').any(|part| part == "." || part == "..") || prefix.contains('%') {
            return Err(no_store);
        }
        Ok(Self::Objects {
            service,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

/// Returns the folder of a URL. `file:copies` is none: read as a URL it would be that of `/copies`.
fn folder(text: &str, url: &Url) -> Result<PathBuf, AddressError> {
    let is_whole = text.split_once(':').is_some_and(|(_, path)| path.starts_with('/'));
    let folder = url.to_file_path().ok().filter(|_| is_whole);
    folder.ok_or(AddressError::NotWhole)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "file://{}", folder.display()),
            Self::Objects {
                service,
                bucket,
                prefix,
            } => {
                let scheme = match service {
                    Service::S3 => "s3",
                    Service::Azure => "az",
                    Service::Google => "gs",
                };
                write!(f, "{scheme}://{bucket}/{prefix}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_folder_or_a_place_in_object_storage() {
        for (text, expected) in [
            ("file:///mnt/copies", "file:///mnt/copies"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("s3://bucket", "s3://bucket/"),
            ("az://container/a", "az://container/a"),
            ("gs://bucket/a", "gs://bucket/a"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), expected);
        }
        for text in [
            "/mnt/copies",
            "https://bucket.example.org/a",
            "s3:///a",
            "s3://key:secret@bucket/a",
            "s3://bucket/a?versionId=1",
            "s3://bucket/a#b",
            "s3://bucket/a%2Fb",
            "",
        ] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::NoStore), "{text}");
        }
        for text in ["file://host/a", "file:copies", "file:./copies"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::NotWhole), "{text}");
        }
    }
}
