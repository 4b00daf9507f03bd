//! `[roots]`: where readers find the host. A fixture tree can stand in for it.
use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;
use crate::toolkit::cx::Roots;

pub const KEYS: &[Key] = &[
    Key::new("roots.sys", Shape::Path, "/sys"),
    Key::new("roots.proc", Shape::Path, "/proc"),
    Key::new("roots.dev", Shape::Path, "/dev"),
    Key::new("roots.etc", Shape::Path, "/etc"),
    Key::new("roots.var", Shape::Path, "/var"),
    Key::new("roots.efi", Shape::Path, "/sys/firmware/efi"),
    Key::new("roots.root", Shape::Path, "/"),
];

pub fn read(layers: &mut Layers) -> Option<Roots> {
    let sys = layers.path("roots.sys");
    let proc = layers.path("roots.proc");
    let dev = layers.path("roots.dev");
    let etc = layers.path("roots.etc");
    let var = layers.path("roots.var");
    let efi = layers.path("roots.efi");
    let root = layers.path("roots.root");
    Some(Roots { sys: sys?, proc: proc?, dev: dev?, etc: etc?, var: var?, efi: efi?, root: root? })
}
