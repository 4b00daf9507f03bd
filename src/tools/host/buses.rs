//! Devices on PCI, USB and Thunderbolt, from sysfs.
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::tools::bundle::Bundle;
use crate::tools::evidence::Entry;
use crate::tools::evidence::Reader;
use crate::tools::evidence::Unread;
use crate::tools::secret;

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PciDevice {
    /// `0000:00:02.0`.
    pub address: String,
    /// Vendor id, four hex digits.
    pub vid: String,
    pub did: String,
    /// Class, sub-class and programming interface, six hex digits.
    pub class: Option<String>,
    pub subsystem: Option<String>,
    pub revision: Option<String>,
    /// Null: no driver is bound.
    pub driver: Option<String>,
    /// Null: not behind an IOMMU.
    pub iommu_group: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UsbDevice {
    /// The name in sysfs: bus and ports.
    pub address: String,
    pub vid: String,
    pub pid: String,
    pub class: Option<String>,
    pub manufacturer: Option<String>,
    pub product: Option<String>,
    /// Null: the kernel does not tell.
    pub authorized: Option<bool>,
    pub serial_hash: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TbDevice {
    pub address: String,
    pub vendor: Option<String>,
    pub device: Option<String>,
    /// 0: not authorised.
    pub authorized: Option<u8>,
    pub unique_id_hash: Option<String>,
}

/// The PCI functions; none with a gap noted when they could not be listed.
pub fn pci(reader: &mut Reader<'_>) -> Option<Vec<PciDevice>> {
    each(reader, "pci", |bundle, entry| {
        let get = |bundle: &mut Bundle, name: &str| Some(hex_id(&bundle.trimmed(&entry.path.join(name)).ok()?));
        let subsystem = |bundle: &mut Bundle| {
            Some(format!("{}:{}", get(bundle, "subsystem_vendor")?, get(bundle, "subsystem_device")?))
        };
        Some(PciDevice {
            address: entry.name.clone(),
            vid: get(bundle, "vendor")?,
            did: get(bundle, "device")?,
            class: get(bundle, "class"),
            subsystem: subsystem(bundle),
            revision: get(bundle, "revision"),
            driver: bundle.link_name(&entry.path.join("driver")).ok(),
            iommu_group: bundle.link_name(&entry.path.join("iommu_group")).ok(),
        })
    })
}

/// The USB devices, hubs included.
pub fn usb(reader: &mut Reader<'_>) -> Option<Vec<UsbDevice>> {
    let key = reader.cx.hash_key;
    each(reader, "usb", |bundle, entry| {
        // interfaces have a colon in their name and no vendor of their own
        let mut get = |name: &str| text(bundle, &entry.path.join(name));
        Some(UsbDevice {
            address: entry.name.clone(),
            vid: get("idVendor")?,
            pid: get("idProduct")?,
            class: get("bDeviceClass"),
            manufacturer: get("manufacturer"),
            product: get("product"),
            authorized: get("authorized").map(|flag| flag != "0"),
            serial_hash: get("serial").map(|serial| secret::keyed_hash(&key, "usb-serial", &serial)),
        })
    })
}

/// The Thunderbolt and USB4 routers.
pub fn tb(reader: &mut Reader<'_>) -> Option<Vec<TbDevice>> {
    let key = reader.cx.hash_key;
    each(reader, "thunderbolt", |bundle, entry| {
        let mut get = |name: &str| text(bundle, &entry.path.join(name));
        let unique_id = get("unique_id")?;
        Some(TbDevice {
            address: entry.name.clone(),
            vendor: get("vendor_name"),
            device: get("device_name"),
            authorized: get("authorized").and_then(|flag| flag.parse().ok()),
            unique_id_hash: Some(secret::keyed_hash(&key, "thunderbolt", &unique_id)),
        })
    })
}

fn each<T>(
    reader: &mut Reader<'_>,
    bus: &str,
    mut device: impl FnMut(&mut Bundle, &Entry) -> Option<T>,
) -> Option<Vec<T>> {
    let dir = reader.sys("bus").join(bus).join("devices");
    let mut bundle = Bundle::new(reader.cx, dir.display().to_string());
    let found = match bundle.list(&dir) {
        Ok(entries) => Some(entries.iter().filter_map(|entry| device(&mut bundle, entry)).collect()),
        Err(Unread::Missing { .. }) => absent(reader, &mut bundle, bus),
        Err(unread) => {
            reader.gap(key_of(bus), &unread);
            None
        }
    };
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    found
}

/// A kernel that lists its buses and not this one has no device on it: the listing is the evidence.
fn absent<T>(reader: &mut Reader<'_>, bundle: &mut Bundle, bus: &str) -> Option<Vec<T>> {
    let listed = bundle.list(&reader.sys("bus"));
    reader.or_gap(key_of(bus), listed).map(|_| Vec::new())
}

fn key_of(bus: &str) -> &str {
    if bus == "thunderbolt" { "tb" } else { bus }
}

fn text(bundle: &mut Bundle, path: &Path) -> Option<String> {
    bundle.trimmed(path).ok().filter(|text| !text.is_empty())
}

fn hex_id(text: &str) -> String {
    text.trim_start_matches("0x").to_owned()
}
