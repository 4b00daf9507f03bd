//! `hw.inventory`: firmware, memory slots, and what hangs on PCI, USB and Thunderbolt.
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Output;
use crate::toolkit::spec::Tool;
use crate::toolkit::spec::ToolSpec;
use crate::tools::bundle::Bundle;
use crate::tools::evidence::DEFAULT_CAP;
use crate::tools::evidence::Reader;
use crate::tools::evidence::Unread;
use crate::tools::host::buses;
use crate::tools::host::buses::PciDevice;
use crate::tools::host::buses::TbDevice;
use crate::tools::host::buses::UsbDevice;
use crate::tools::host::smbios;
use crate::tools::host::smbios::MemorySlot;
use crate::tools::input;
use crate::tools::schema;
use crate::tools::secret;

pub struct HwInventory;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Which buses to read; a bus that is left out is null in the result.
    #[serde(default = "all_buses")]
    buses: Vec<Bus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Bus {
    Pci,
    Usb,
    Tb,
}

fn all_buses() -> Vec<Bus> {
    vec![Bus::Pci, Bus::Usb, Bus::Tb]
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Hardware {
    bios: Option<Bios>,
    system: Option<System>,
    memory_slots: Option<Vec<MemorySlot>>,
    pci: Option<Vec<PciDevice>>,
    usb: Option<Vec<UsbDevice>>,
    tb: Option<Vec<TbDevice>>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Bios {
    vendor: Option<String>,
    version: Option<String>,
    date: Option<String>,
    release: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct System {
    vendor: Option<String>,
    product: Option<String>,
    family: Option<String>,
    sku: Option<String>,
    board: Option<String>,
    /// SMBIOS code; 9, 10, 14, 30 to 32 are portable.
    chassis_type: Option<u8>,
    /// Under a key of this node.
    serial_hash: Option<String>,
}

impl Tool for HwInventory {
    fn spec(&self) -> ToolSpec {
        let what = "Firmware tables, PCI, USB and Thunderbolt devices";
        let privileges = "root for DMI tables; sysfs none";
        schema::read_only::<Input, Hardware>("hw.inventory", what, privileges, Duration::from_secs(30))
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        read(cx, input).unwrap_or_else(|stopped| *stopped)
    }
}

fn read(cx: &ToolCx, input: &Value) -> Result<Output, Box<Output>> {
    let Input { buses } = input::parse(input)?;
    let mut reader = Reader::new(cx);
    let (bios, system) = dmi(&mut reader);
    let memory_slots = memory(&mut reader);
    cx.go_on()?;
    let pci = if buses.contains(&Bus::Pci) { buses::pci(&mut reader) } else { None };
    cx.go_on()?;
    let usb = if buses.contains(&Bus::Usb) { buses::usb(&mut reader) } else { None };
    let tb = if buses.contains(&Bus::Tb) { buses::tb(&mut reader) } else { None };
    Ok(reader.finish(Hardware { bios, system, memory_slots, pci, usb, tb }))
}

fn dmi(reader: &mut Reader<'_>) -> (Option<Bios>, Option<System>) {
    let dir = reader.sys("class/dmi/id");
    let mut bundle = Bundle::new(reader.cx, dir.display().to_string());
    let listed = bundle.list(&dir);
    if let Err(unread) = listed {
        reader.gap("bios", &unread);
        reader.gap("system", &unread);
        return (None, None);
    }
    let mut get = |name: &str| text(&mut bundle, &dir.join(name));
    let bios = Bios {
        vendor: get("bios_vendor"),
        version: get("bios_version"),
        date: get("bios_date"),
        release: get("bios_release"),
    };
    let (vendor, product) = (get("sys_vendor"), get("product_name"));
    let (family, sku, board) = (get("product_family"), get("product_sku"), get("board_name"));
    let chassis_type = get("chassis_type").and_then(|code| code.parse().ok());
    let serial = bundle.trimmed(&dir.join("product_serial")).map_err(|unread| with_broker(reader.cx, unread));
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    let serial_hash = reader
        .or_gap("system.serial_hash", serial)
        .filter(|serial| !serial.is_empty())
        .map(|serial| secret::keyed_hash(&reader.cx.hash_key, "system-serial", &serial));
    (Some(bios), Some(System { vendor, product, family, sku, board, chassis_type, serial_hash }))
}

fn memory(reader: &mut Reader<'_>) -> Option<Vec<MemorySlot>> {
    let table = reader.bytes(&reader.sys("firmware/dmi/tables/DMI"), DEFAULT_CAP);
    let table = table.map_err(|unread| with_broker(reader.cx, unread));
    let raw = reader.or_gap("memory_slots", table)?;
    let key = reader.cx.hash_key;
    Some(smbios::memory_slots(&raw.bytes, |serial| secret::keyed_hash(&key, "memory-serial", serial)))
}

/// Says why there is nobody with the right to ask instead.
fn with_broker(cx: &ToolCx, unread: Unread) -> Unread {
    match (unread, &cx.no_broker) {
        (Unread::NotPermitted { what }, Some(why)) => Unread::NotPermitted { what: format!("{what} ({why})") },
        (unread, _) => unread,
    }
}

fn text(bundle: &mut Bundle, path: &Path) -> Option<String> {
    bundle.trimmed(path).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::toolkit::output::Status;
    use crate::tools::fixture_cx::FixtureCx;

    #[test]
    fn the_laptop_is_listed_and_its_serial_numbers_are_not() {
        let output = HwInventory.call(&FixtureCx::named("latitude"), &Value::Null);
        assert_eq!(output.status, Status::Ok, "{:?}", output.reason);
        let data = &output.data;
        assert_eq!(data["system"]["product"], "Latitude 5450");
        assert_eq!(data["bios"]["version"], "1.11.2");
        assert_eq!(data["system"]["serial_hash"].as_str().map(str::len), Some(32));
        assert_eq!(data["memory_slots"][0]["size_bytes"], 32_u64 << 30);
        assert_eq!(data["memory_slots"][0]["kind"], "DDR5");
        assert_eq!(data["memory_slots"][1]["size_bytes"], 0);
        let gpu = json!({"address": "0000:00:02.0", "vid": "8086", "did": "7d55", "class": "030000",
            "subsystem": "1028:0cb4", "revision": "08", "driver": "i915", "iommu_group": "0"});
        assert_eq!(data["pci"][0], gpu);
        assert_eq!(data["pci"][1]["driver"], Value::Null);
        let usb = data["usb"].as_array().expect("a list");
        assert_eq!(usb.len(), 1, "interfaces are no devices");
        assert_eq!((&usb[0]["vid"], &usb[0]["authorized"]), (&json!("0bda"), &json!(true)));
        assert_eq!(data["tb"][0]["device"], "Dock WD22TB4");
        let text = data.to_string();
        for serial in ["7XK4Q24", "MEM0SER", "200901010001", "d2030000"] {
            assert!(!text.contains(serial), "{serial} leaked");
        }
    }

    #[test]
    fn a_vm_without_tables_still_has_its_buses() {
        let output = HwInventory.call(&FixtureCx::named("bare-vm"), &Value::Null);
        assert_eq!(output.status, Status::Degraded);
        assert_eq!(output.data["pci"][0]["driver"], "virtio-pci");
        assert_eq!(output.data["usb"], json!([]), "the kernel lists its buses, and USB is not among them");
        assert_eq!(output.data["memory_slots"], Value::Null);
        let gaps = output.data["not_assessed"].as_array().expect("gaps");
        assert!(gaps.iter().any(|gap| gap["field"] == "memory_slots" && gap["code"] == "no_facility"), "{gaps:?}");
    }

    #[test]
    fn only_the_buses_asked_for_are_read() {
        let output = HwInventory.call(&FixtureCx::named("latitude"), &json!({"buses": ["usb"]}));
        assert_eq!(output.data["pci"], Value::Null);
        assert!(output.data["usb"].is_array());
        let refused = HwInventory.call(&FixtureCx::empty(), &json!({"buses": ["isa"]}));
        assert_eq!(refused.reason.expect("a reason").facility, "buses");
    }

    #[test]
    fn what_needs_rights_says_who_lacks_them() {
        let denied = with_broker(&FixtureCx::empty(), Unread::NotPermitted { what: "x".to_owned() });
        assert_eq!(denied.reason().code, "no_privilege");
        assert!(denied.to_string().contains("without a broker"), "{denied}");
    }

    #[test]
    fn this_host_has_buses() {
        let output = HwInventory.call(&FixtureCx::live(), &Value::Null);
        assert!(matches!(output.status, Status::Ok | Status::Degraded), "{:?}", output.reason);
        assert!(!output.evidence.is_empty());
    }
}
