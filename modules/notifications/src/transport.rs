//! How a mail leaves the shop.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::domain::mail::Mail;

/// A way out. Taking the same mail twice must do no harm beyond what the receiver can tell by its Message-ID.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// What became of each mail, in their order.
    async fn send(&self, mails: Vec<Mail>) -> Vec<std::io::Result<()>>;
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
    /// Each file appears whole or not at all: it is written under another name and renamed.
    ///
    /// One thread writes them all: one way to the threads that may block, and nobody who waits for the same folder.
    async fn send(&self, mails: Vec<Mail>) -> Vec<std::io::Result<()>> {
        let (folder, count) = (self.folder.clone(), mails.len());
        let written = tokio::task::spawn_blocking(move || write_all(&folder, &mails)).await;
        written.unwrap_or_else(|error| failed(count, &error.into()))
    }
}

fn write_all(folder: &Path, mails: &[Mail]) -> Vec<std::io::Result<()>> {
    if let Err(error) = std::fs::create_dir_all(folder) {
        return failed(mails.len(), &error);
    }
    let files: Vec<_> = mails.iter().map(|mail| write(folder, mail)).collect();
    // On the disk before the name is: a power failure must not leave an empty mail that counts as sent. All are written by now, so the first wait
    // is most of the wait for the others.
    let kept = files.into_iter().map(|file| file.and_then(|file| file.sync_all()));
    mails.iter().zip(kept).map(|(mail, kept)| kept.and_then(|()| publish(folder, mail))).collect()
}

fn write(folder: &Path, mail: &Mail) -> std::io::Result<File> {
    let mut file = File::create(unfinished(folder, mail))?;
    file.write_all(mail.to_text().as_bytes())?;
    Ok(file)
}

fn publish(folder: &Path, mail: &Mail) -> std::io::Result<()> {
    std::fs::rename(unfinished(folder, mail), folder.join(format!("{}.eml", mail.id)))
}

fn unfinished(folder: &Path, mail: &Mail) -> PathBuf {
    folder.join(format!("{}.part", mail.id))
}

/// The same failure for everyone.
fn failed(count: usize, error: &std::io::Error) -> Vec<std::io::Result<()>> {
    (0..count).map(|_| Err(std::io::Error::new(error.kind(), error.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    use kernel::Timestamp;

    use super::*;

    fn mail(id: &str) -> Mail {
        let text = |text: &str| text.to_owned();
        Mail {
            id: text(id),
            from: text("shop@example.com"),
            to: text("ada@example.com"),
            subject: text("Hello"),
            body: text("A letter."),
            date: Timestamp::EPOCH,
        }
    }

    #[test]
    fn a_mail_that_cannot_be_written_is_the_only_one() {
        testkit::run(async {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("b.part")).unwrap();
            let transport = FileTransport::new(folder.path().to_owned());
            let outcomes = transport.send(["a", "b", "c"].map(mail).to_vec()).await;
            assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
            let mut names: Vec<_> =
                std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
            names.sort();
            assert_eq!(names, ["a.eml", "b.part", "c.eml"]);
        });
    }

    #[test]
    fn without_a_folder_every_mail_is_refused() {
        testkit::run(async {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("file");
            std::fs::write(&file, "").unwrap();
            let outcomes =
                FileTransport::new(file.join("outgoing")).send(["a", "b"].map(mail).to_vec()).await;
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 2);
        });
    }
}
