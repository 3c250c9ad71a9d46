//! How a mail leaves the shop.

use std::path::PathBuf;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;

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
        tokio::fs::create_dir_all(&self.folder).await?;
        let unfinished = self.folder.join(format!("{}.part", mail.id));
        let mut file = tokio::fs::File::create(&unfinished).await?;
        file.write_all(mail.to_text().as_bytes()).await?;
        // On the disk before the name is: a power failure must not leave an empty mail that counts as sent.
        file.sync_all().await?;
        tokio::fs::rename(&unfinished, self.folder.join(format!("{}.eml", mail.id))).await
    }
}
