//! Finds the fields that the kernel side reads in the running kernel's own type information.

use anyhow::{Result, bail};
use tracer_common::{ABSENT, Need, Offsets, Part, Place, ROWS, Row};

use super::btf::Btf;

/// Where the fields are, and what cannot be seen because some are not there.
pub(crate) struct Fields {
    /// For the kernel side.
    pub offsets: Offsets,
    /// Parts that are left out, each with the reason.
    pub lost: Vec<(Part, String)>,
}

impl Fields {
    /// Looks up every field: those for payload only where that is to be read. Fails when one is missing, or has another
    /// width, that nothing works without.
    pub(crate) fn resolve(btf: &Btf, with_payload: bool) -> Result<Self> {
        let mut fields = Self { offsets: [ABSENT; ROWS.len()], lost: Vec::new() };
        for (index, row) in ROWS.iter().enumerate() {
            let part = part(row);
            if part.is_some_and(|part| fields.lacks(part) || (part.reads_payload() && !with_payload)) {
                continue;
            }
            match (locate(btf, row)?, part) {
                (Ok(offset), _) => fields.offsets[index] = offset,
                (Err(why), Some(part)) => fields.lost.push((part, why)),
                (Err(why), None) => bail!(
                    "{why}: it is older than 5.10 or changed since 7.2; please report it with the output of `uname -r`"
                ),
            }
        }
        // What was found of a lost part before is of no use by itself.
        for (index, row) in ROWS.iter().enumerate() {
            if part(row).is_some_and(|part| fields.lacks(part)) {
                fields.offsets[index] = ABSENT;
            }
        }
        Ok(fields)
    }

    /// Whether this part is left out.
    #[must_use]
    pub(crate) fn lacks(&self, part: Part) -> bool {
        self.lost.iter().any(|(lost, _)| *lost == part)
    }
}

fn part(row: &Row) -> Option<Part> {
    match row.need {
        Need::Required => None,
        Need::Optional(part) => Some(part),
    }
}

/// The offset of a field, or why it cannot be read.
fn locate(btf: &Btf, row: &Row) -> Result<std::result::Result<u32, String>> {
    for Place { of, path } in row.places {
        let Some(found) = btf.field(of, path)? else { continue };
        let fits = row.width == 0 || row.width == found.width;
        return Ok(fits.then_some(found.offset).ok_or_else(|| {
            format!(
                "this kernel's field {} of struct {of} is {} bytes wide, not {}",
                path.join("."),
                found.width,
                row.width
            )
        }));
    }
    let Place { of, path } = row.places[0];
    Ok(Err(format!("this kernel's struct {of} has no field {}", path.join("."))))
}

#[cfg(test)]
mod tests {
    use tracer_common::field;

    use super::*;
    use crate::kernel::btf::blob::Blob;

    /// Type information in which every field is as its row says, but for the one at `index`, which `change` has
    /// changed.
    fn kernel(change: impl Fn(usize, &mut usize) -> bool) -> Btf {
        let mut blob = Blob::default();
        for (index, row) in ROWS.iter().enumerate() {
            let mut width = row.width.max(1);
            if change(index, &mut width) {
                blob.add(row.places[0].of, row.places[0].path, width);
            }
        }
        Btf::parse(blob.bytes()).unwrap()
    }

    #[test]
    fn every_field_of_the_table_is_found_where_it_is() {
        let btf = kernel(|_, _| true);
        let fields = Fields::resolve(&btf, true).unwrap();
        assert!(fields.lost.is_empty() && fields.offsets.iter().all(|&offset| offset != ABSENT));
        let without_payload = Fields::resolve(&btf, false).unwrap();
        assert_eq!(without_payload.offsets[field::SKB_DATA.index()], ABSENT);
    }

    #[test]
    fn each_field_of_another_width_or_gone_is_refused_or_leaves_its_part_out() {
        for (changed, row) in ROWS.iter().enumerate() {
            let path = row.places[0].path.join(".");
            let wider = kernel(|index, width| {
                *width += usize::from(index == changed);
                true
            });
            let gone = kernel(|index, _| index != changed);
            let widths = format!("is {} bytes wide, not {}", row.width + 1, row.width);
            for (btf, why) in [(wider, widths), (gone, String::from("has no field"))] {
                if row.width == 0 && why.contains("wide") {
                    continue;
                }
                match (Fields::resolve(&btf, true), row.need) {
                    (Err(error), Need::Required) => {
                        let sentence = error.to_string();
                        assert!(sentence.contains(&path) && sentence.contains(&why), "{sentence}");
                    }
                    (Ok(fields), Need::Optional(part)) => {
                        assert_eq!(fields.lost.iter().map(|(part, _)| *part).collect::<Vec<_>>(), [part]);
                        assert!(fields.lost[0].1.contains(&path) && fields.lost[0].1.contains(&why));
                        for (index, other) in ROWS.iter().enumerate() {
                            let absent = fields.offsets[index] == ABSENT;
                            assert_eq!(absent, other.need == row.need, "{other:?} without {path}");
                        }
                    }
                    (resolved, need) => {
                        panic!("{path} is {need:?}: {:?}", resolved.map(|fields| fields.lost))
                    }
                }
            }
        }
    }

    #[test]
    fn the_running_kernel_has_them_all() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else { return };
        let fields = Fields::resolve(&Btf::parse(bytes).unwrap(), true).unwrap();
        assert!(fields.lost.is_empty(), "{:?}", fields.lost);
    }
}
