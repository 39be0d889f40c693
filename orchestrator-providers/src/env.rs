//! Environments: what an engine needs from the Python package index, built from recipes with `uv`.
//!
//! ```text
//! envs/<key>/<digest>/         one built environment, immutable    envs/<key>/current   a link to the one in use
//! envs/.tmp/<key>-<uuid>/      being built, locked by its builder   envs/.locks/<key>    held while a key is built
//! envs/.logs/<key>-<time>.log  the newest logs of builds            tools/uv/bin/uv      the installer, brought in
//! ```
//!
//! Nothing stands under `envs/<key>/` before it was tested. Killing a build at any instant leaves at most a folder
//! under `.tmp`, which the next build of that key removes.

mod build;
mod clock;
mod collect;
mod failure;
mod health;
mod layout;
pub(crate) mod lock;
mod log;
mod manifest;
mod prerequisites;
mod program;
mod python;
mod recipe;
mod tool;
mod uv;

pub use layout::EnvPaths;
pub use prerequisites::{FoundProgram, MachinePrograms, find_programs};
pub(crate) use program::{Program, ProgramEnd, ProgramOutput, run};
pub(crate) use python::{is_program, on_search_path};
pub use uv::UvEnvironments;
