//! `[data]`: where the service keeps everything it owns.
use std::path::PathBuf;

use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;
use crate::config::source::Place;

pub const KEYS: &[Key] = &[Key::computed("data.dir", Shape::Path, default_dir)];

fn default_dir(place: &Place) -> String {
    let dir = if place.root { PathBuf::from("/var/lib/dsmil") } else { place.state_home.join("dsmil") };
    dir.to_string_lossy().into_owned()
}

pub fn read(layers: &mut Layers) -> Option<PathBuf> {
    layers.path("data.dir")
}
