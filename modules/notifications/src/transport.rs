//! How a mail leaves the shop.

use std::io::Write;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::domain::mail::Mail;

/// A way out. Taking the same mail twice must do no harm beyond what the receiver can tell by its Message-ID.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    async fn send(&self, mail: &Mail) -> std::io::Result<()>;
}

/// Writes each mail as `<folder>/<id>.eml`, for development and for whoever picks mails up from a folder.
pub(crate) struct FileTransport {
    folder: PathBuf,
}

impl FileTransport {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

#[async_trait]
impl Transport for FileTransport {
    /// The file appears whole or not at all: it is written under another name and renamed.
    async fn send(&self, mail: &Mail) -> std::io::Result<()> {
        let (folder, id, text) = (self.folder.clone(), mail.id.clone(), mail.to_text());
        // One way to the threads that may block and back, not one for each call to the system.
        tokio::task::spawn_blocking(move || write(&folder, &id, &text)).await?
    }
}

fn write(folder: &Path, id: &str, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!("{id}.part"));
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(text.as_bytes())?;
    // On the disk before the name is: a power failure must not leave an empty mail that counts as sent.
    file.sync_all()?;
    std::fs::rename(&unfinished, folder.join(format!("{id}.eml")))
}
