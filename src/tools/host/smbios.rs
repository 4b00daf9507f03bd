//! The memory devices of an SMBIOS table (structure type 17), parsed from its bytes.
use schemars::JsonSchema;
use serde::Serialize;

const MEMORY_DEVICE: u8 = 17;
const END: u8 = 127;
const MIB: u64 = 1 << 20;

/// A memory slot, filled or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MemorySlot {
    pub locator: Option<String>,
    /// 0: empty; null: the firmware does not know.
    pub size_bytes: Option<u64>,
    /// Of the module: `DDR5`, `LPDDR5` ...; null for codes that are not known here.
    pub kind: Option<String>,
    pub speed_mts: Option<u16>,
    pub manufacturer: Option<String>,
    pub part: Option<String>,
    /// Under a key of this node.
    pub serial_hash: Option<String>,
}

/// The slots in table order. `hash` turns a serial number into its keyed hash.
/// A table that breaks off gives what came before.
pub fn memory_slots(table: &[u8], hash: impl Fn(&str) -> String) -> Vec<MemorySlot> {
    let mut slots = Vec::new();
    let mut rest = table;
    while let Some((structure, after)) = next(rest) {
        match structure.kind() {
            END => break,
            MEMORY_DEVICE => slots.push(slot(&structure, &hash)),
            _ => {}
        }
        rest = after;
    }
    slots
}

/// One structure: its formatted area and its strings.
struct Structure<'a> {
    fixed: &'a [u8],
    strings: &'a [u8],
}

impl Structure<'_> {
    fn kind(&self) -> u8 {
        self.fixed.first().copied().unwrap_or(END)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.fixed.get(at).copied()
    }

    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.fixed.get(at..at + 2)?.try_into().ok()?))
    }

    fn double(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.fixed.get(at..at + 4)?.try_into().ok()?))
    }

    /// Strings are numbered from 1; 0 is none.
    fn string(&self, at: usize) -> Option<String> {
        let number = usize::from(self.byte(at)?).checked_sub(1)?;
        let bytes = self.strings.split(|byte| *byte == 0).nth(number)?;
        let text = String::from_utf8_lossy(bytes).trim().to_owned();
        let filler = ["", "Not Specified", "Unknown", "None", "NO DIMM", "[Empty]"].contains(&text.as_str());
        (!filler).then_some(text)
    }
}

/// Splits off one structure: a header with the length of the formatted area, then strings up to two zero bytes.
fn next(table: &[u8]) -> Option<(Structure<'_>, &[u8])> {
    let length = usize::from(*table.get(1)?);
    if length < 4 {
        return None;
    }
    let fixed = table.get(..length)?;
    let tail = table.get(length..)?;
    let end = tail.windows(2).position(|pair| pair == [0, 0])?;
    Some((Structure { fixed, strings: &tail[..end] }, &tail[end + 2..]))
}

fn slot(structure: &Structure<'_>, hash: &impl Fn(&str) -> String) -> MemorySlot {
    MemorySlot {
        locator: structure.string(0x10),
        size_bytes: size(structure),
        kind: structure.byte(0x12).and_then(kind_name).map(str::to_owned),
        speed_mts: structure.word(0x15).filter(|speed| !matches!(speed, 0 | 0xffff)),
        manufacturer: structure.string(0x17),
        part: structure.string(0x1a),
        serial_hash: structure.string(0x18).map(|serial| hash(&serial)),
    }
}

fn size(structure: &Structure<'_>) -> Option<u64> {
    match structure.word(0x0c)? {
        0xffff => None,
        0x7fff => structure.double(0x1c).map(|mib| u64::from(mib & 0x7fff_ffff) * MIB),
        kib if kib & 0x8000 != 0 => Some(u64::from(kib & 0x7fff) << 10),
        mib => Some(u64::from(mib) * MIB),
    }
}

fn kind_name(code: u8) -> Option<&'static str> {
    Some(match code {
        0x07 => "RAM",
        0x18 => "DDR3",
        0x1a => "DDR4",
        0x1d => "LPDDR3",
        0x1e => "LPDDR4",
        0x20 => "HBM",
        0x21 => "HBM2",
        0x22 => "DDR5",
        0x23 => "LPDDR5",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(size: u16, extended: u32) -> Vec<u8> {
        let mut fixed = vec![0; 0x28];
        fixed[0] = MEMORY_DEVICE;
        fixed[1] = 0x28;
        fixed[0x0c..0x0e].copy_from_slice(&size.to_le_bytes());
        fixed[0x10] = 1;
        fixed[0x12] = 0x22;
        fixed[0x15..0x17].copy_from_slice(&5600_u16.to_le_bytes());
        fixed[0x17] = 2;
        fixed[0x18] = 3;
        fixed[0x1c..0x20].copy_from_slice(&extended.to_le_bytes());
        fixed.extend_from_slice(b"DIMM A\0Micron \0S123\0\0");
        fixed
    }

    fn slots(table: &[u8]) -> Vec<MemorySlot> {
        memory_slots(table, |serial| format!("hash of {serial}"))
    }

    #[test]
    fn a_module_is_read_with_its_strings() {
        let mut table = vec![0, 4, 0, 0, 0, 0];
        table.extend(device(16384, 0));
        table.extend([127, 4, 0, 0, 0, 0]);
        let expected = MemorySlot {
            locator: Some("DIMM A".to_owned()),
            size_bytes: Some(16 << 30),
            kind: Some("DDR5".to_owned()),
            speed_mts: Some(5600),
            manufacturer: Some("Micron".to_owned()),
            part: None,
            serial_hash: Some("hash of S123".to_owned()),
        };
        assert_eq!(slots(&table), [expected]);
    }

    #[test]
    fn sizes_come_in_four_forms() {
        for (size, extended, bytes) in
            [(0, 0, Some(0)), (0xffff, 0, None), (0x7fff, 65536, Some(64 << 30)), (0x8040, 0, Some(64 << 10))]
        {
            assert_eq!(slots(&device(size, extended))[0].size_bytes, bytes, "size {size:#x}");
        }
    }

    #[test]
    fn nothing_is_read_behind_the_end() {
        let mut table = vec![127, 4, 0, 0, 0, 0];
        table.extend(device(1, 0));
        assert_eq!(slots(&table), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(slots(&bytes).len() <= bytes.len() / 6);
        }

        #[test]
        fn a_broken_table_gives_no_more_than_the_whole(cut in 0_usize..120, flip in 0_usize..120) {
            let mut table = [device(1024, 0), device(2048, 0)].concat();
            table[flip % 120] ^= 0x15;
            table.truncate(cut);
            prop_assert!(slots(&table).len() <= 20);
        }
    }
}
