//! What the checks look at: the packages, the modules, the sources and the texts of one repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cargo_metadata::{MetadataCommand, Package};
use thiserror::Error;

use crate::source::{Mention, Source};

/// A repository, read once.
#[derive(Debug)]
pub struct Workspace {
    pub(crate) root: PathBuf,
    /// The names of the folders in `modules/`, without `shared`.
    pub(crate) modules: BTreeSet<String>,
    pub(crate) packages: Vec<Package>,
    pub(crate) sources: Vec<Source>,
    /// Every file that is text.
    pub(crate) files: Vec<File>,
}

/// A text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Below the root, with `/` between folders.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Why a repository cannot be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    #[error("{path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cargo metadata fails: {0}")]
    Metadata(#[from] cargo_metadata::Error),
}

/// Folders of the root that hold nothing written by hand.
const NOT_READ: &[&str] = &[".git", "target", "data"];

impl Workspace {
    /// Reads the repository with this root.
    pub fn read(root: &Path) -> Result<Self, Unreadable> {
        let at = |path: &Path, source| Unreadable::File { path: path.to_owned(), source };
        let root = root.canonicalize().map_err(|source| at(root, source))?;
        let packages = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .no_deps()
            .other_options(["--offline".to_owned()])
            .exec()?
            .packages;
        let mut files = Vec::new();
        for entry in entries(&root)? {
            if !NOT_READ.iter().any(|name| entry == root.join(name)) {
                collect(&root, &entry, &mut files)?;
            }
        }
        let modules_folder = root.join("modules");
        let modules = entries(&modules_folder)?
            .into_iter()
            .filter(|path| path.is_dir())
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .filter(|name| name != "shared")
            .collect();
        let sources = files
            .iter()
            .filter(|file| file.path.ends_with(".rs"))
            .map(|file| Source::parse(file.path.clone(), &file.text))
            .collect();
        Ok(Self { root, modules, packages, sources, files })
    }

    /// The package in a folder below the root; `""` is the root package.
    pub(crate) fn package_in(&self, folder: &str) -> Option<&Package> {
        let manifest = self.root.join(folder).join("Cargo.toml");
        self.packages.iter().find(|package| package.manifest_path.as_std_path() == manifest)
    }

    /// The module whose crate this package is.
    pub(crate) fn module_of(&self, package: &Package) -> Option<&str> {
        let is_its_crate = |module: &&String| {
            package.manifest_path.as_std_path()
                == self.root.join("modules").join(module.as_str()).join("Cargo.toml")
        };
        self.modules.iter().find(is_its_crate).map(String::as_str)
    }

    /// A package's manifest below the root.
    pub(crate) fn manifest_of(&self, package: &Package) -> String {
        relative(&self.root, package.manifest_path.as_std_path())
    }

    /// The text of a file; `None` if there is none.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// The sources below a folder, which ends in `/`.
    pub(crate) fn sources_below(&self, folder: &str) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(move |source| source.path.starts_with(folder))
    }

    /// Each mention below a folder, which ends in `/`, with its file.
    pub(crate) fn mentions_below(&self, folder: &str) -> impl Iterator<Item = (&str, &Mention)> {
        self.sources_below(folder)
            .flat_map(|source| source.mentions.iter().map(|mention| (source.path.as_str(), mention)))
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let at = |source| Unreadable::File { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at)? {
        paths.push(entry.map_err(at)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Links are not followed: what they point to is read where it is, or is not of this repository.
fn collect(root: &Path, path: &Path, files: &mut Vec<File>) -> Result<(), Unreadable> {
    if path.is_symlink() {
        return Ok(());
    }
    if path.is_dir() {
        for entry in entries(path)? {
            collect(root, &entry, files)?;
        }
        return Ok(());
    }
    match std::fs::read_to_string(path) {
        Ok(text) => files.push(File { path: relative(root, path), text }),
        // Not text, or gone since the folder was listed.
        Err(error)
            if [std::io::ErrorKind::InvalidData, std::io::ErrorKind::NotFound].contains(&error.kind()) => {}
        Err(source) => return Err(Unreadable::File { path: path.to_owned(), source }),
    }
    Ok(())
}

fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}
