//! Reads the running kernel's own type information (BTF): where a struct field is, how an enum names its
//! values, how many arguments a tracepoint has.
//!
//! Only what the daemon asks for is decoded; names are compared in place and nothing is copied. The format
//! is described in the kernel's Documentation/bpf/btf.rst.

use anyhow::{Context, Result, bail, ensure};

const MAGIC: u16 = 0xeb9f;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNC_PROTO: u32 = 13;

/// Wrappers may nest (`typedef` of `const` of …); real kernels need a handful.
const MAX_DEPTH: usize = 16;

/// The types of one kernel.
pub struct Btf {
    bytes: Vec<u8>,
    /// Where the strings begin.
    strings: usize,
    /// Where each type begins; types are numbered from 1.
    types: Vec<u32>,
}

/// A type's fixed part: `struct btf_type`.
struct Type {
    name: u32,
    kind: u32,
    members: usize,
    /// For structs: member offsets carry a bit-field size in their upper byte.
    kind_flag: bool,
    /// Size, or the type this one refers to.
    size_or_ref: u32,
    /// Where what follows the fixed part begins.
    body: usize,
}

impl Btf {
    /// Takes a BTF blob as the kernel exports it in `/sys/kernel/btf/vmlinux`.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        ensure!(u16_at(&bytes, 0)? == MAGIC, "not BTF of this machine's byte order");
        let header = u32_at(&bytes, 4)? as usize;
        let section = |at| Ok::<_, anyhow::Error>(u32_at(&bytes, at)? as usize);
        let (types_at, types_len) = (header + section(8)?, section(12)?);
        let strings = header + section(16)?;
        let (end, strings_end) = (types_at + types_len, strings + section(20)?);
        ensure!(end.max(strings_end) <= bytes.len(), "BTF is cut short");

        let mut btf = Self { bytes, strings, types: vec![0] };
        let mut at = types_at;
        while at < end {
            btf.types.push(u32::try_from(at)?);
            at += btf.size_of_type(at)?;
        }
        Ok(btf)
    }

    /// Byte offset of a field, named by its path (`["icsk_ack", "lrcvtime"]`) within `struct name`. Anonymous
    /// structs and unions on the way are looked through; of an array its first element counts. `None` where this kernel has no such field.
    #[must_use]
    pub fn field_offset(&self, name: &str, path: &[&str]) -> Option<u32> {
        let mut ty = self.find(name, KIND_STRUCT)?;
        let mut offset = 0;
        for (depth, field) in path.iter().enumerate() {
            let (bits, member) = self.member(&ty, field, 0)?;
            // A bit field has no byte of its own to read.
            (bits % 8 == 0).then_some(())?;
            offset += bits / 8;
            if depth + 1 < path.len() {
                ty = self.resolve(member)?;
            }
        }
        Some(offset)
    }

    /// Bytes of a `struct name`.
    #[must_use]
    pub fn struct_size(&self, name: &str) -> Option<u32> {
        Some(self.find(name, KIND_STRUCT)?.size_or_ref)
    }

    /// The values of `enum name`, with `prefix` cut off their names.
    #[must_use]
    pub fn enum_names(&self, name: &str, prefix: &str) -> Vec<(u32, String)> {
        let Some(ty) = self.find(name, KIND_ENUM) else {
            return Vec::new();
        };
        (0..ty.members)
            .filter_map(|index| {
                let at = ty.body + index * 8;
                let name = self.string(u32_at(&self.bytes, at).ok()?)?;
                let value = u32_at(&self.bytes, at + 4).ok()?;
                Some((value, name.strip_prefix(prefix).unwrap_or(name).to_owned()))
            })
            .collect()
    }

    /// How many arguments a tracepoint hands to a raw tracepoint program; `None` where there is no such
    /// tracepoint. The kernel describes it as `typedef void (*btf_trace_NAME)(void *, …)`.
    #[must_use]
    pub fn tracepoint_arguments(&self, name: &str) -> Option<usize> {
        let typedef = self.find(&format!("btf_trace_{name}"), KIND_TYPEDEF)?;
        let prototype = self.resolve(typedef.size_or_ref)?;
        (prototype.kind == KIND_FUNC_PROTO).then(|| prototype.members.saturating_sub(1))
    }

    fn find(&self, name: &str, kind: u32) -> Option<Type> {
        self.types[1..].iter().find_map(|&at| {
            let ty = self.read(at as usize).ok()?;
            (ty.kind == kind && self.string(ty.name)? == name).then_some(ty)
        })
    }

    /// Bit offset and type of a member, searching anonymous members too.
    fn member(&self, ty: &Type, name: &str, depth: usize) -> Option<(u32, u32)> {
        if depth == MAX_DEPTH || !matches!(ty.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        (0..ty.members).find_map(|index| {
            let at = ty.body + index * 12;
            let member_name = u32_at(&self.bytes, at).ok()?;
            let member_type = u32_at(&self.bytes, at + 4).ok()?;
            let raw = u32_at(&self.bytes, at + 8).ok()?;
            let bits = if ty.kind_flag { raw & 0x00ff_ffff } else { raw };
            if member_name != 0 {
                return (self.string(member_name)? == name).then_some((bits, member_type));
            }
            let inner = self.resolve(member_type)?;
            let (inner_bits, found) = self.member(&inner, name, depth + 1)?;
            Some((bits + inner_bits, found))
        })
    }

    /// Follows pointers, arrays, typedefs and qualifiers to what they wrap.
    fn resolve(&self, id: u32) -> Option<Type> {
        let mut ty = self.read(*self.types.get(id as usize)? as usize).ok()?;
        for _ in 0..MAX_DEPTH {
            let wrapped = match ty.kind {
                KIND_ARRAY => u32_at(&self.bytes, ty.body).ok()?,
                // PTR, TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG
                2 | 8..=11 | 18 => ty.size_or_ref,
                _ => return Some(ty),
            };
            ty = self.read(*self.types.get(wrapped as usize)? as usize).ok()?;
        }
        None
    }

    fn read(&self, at: usize) -> Result<Type> {
        let info = u32_at(&self.bytes, at + 4)?;
        Ok(Type {
            name: u32_at(&self.bytes, at)?,
            kind: (info >> 24) & 0x1f,
            members: (info & 0xffff) as usize,
            kind_flag: info >> 31 == 1,
            size_or_ref: u32_at(&self.bytes, at + 8)?,
            body: at + 12,
        })
    }

    fn size_of_type(&self, at: usize) -> Result<usize> {
        let ty = self.read(at)?;
        Ok(12
            + match ty.kind {
                // INT, VAR and DECL_TAG carry one word
                1 | 14 | 17 => 4,
                KIND_ARRAY => 12,
                KIND_STRUCT | KIND_UNION | 15 | 19 => ty.members * 12,
                KIND_ENUM | KIND_FUNC_PROTO => ty.members * 8,
                // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
                2 | 7..=12 | 16 | 18 => 0,
                kind => bail!("BTF type kind {kind} is not known"),
            })
    }

    fn string(&self, at: u32) -> Option<&str> {
        let bytes = self.bytes.get(self.strings + at as usize..)?;
        let end = bytes.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&bytes[..end]).ok()
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let field = bytes.get(at..at + 2).context("BTF is cut short")?;
    Ok(u16::from_ne_bytes([field[0], field[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let field = bytes.get(at..at + 4).context("BTF is cut short")?;
    Ok(u32::from_ne_bytes([field[0], field[1], field[2], field[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests run wherever the kernel exports its BTF; without it there is nothing to read.
    fn running_kernel() -> Option<Btf> {
        let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
        Some(Btf::parse(bytes).expect("the kernel's own BTF parses"))
    }

    #[test]
    fn fields_are_found_through_anonymous_unions_and_nested_structs() {
        let Some(btf) = running_kernel() else { return };
        // `skc_daddr` opens the struct, inside a union inside a struct; the kernel relies on that.
        assert_eq!(btf.field_offset("sock_common", &["skc_daddr"]), Some(0));
        assert_eq!(btf.field_offset("sock_common", &["skc_rcv_saddr"]), Some(4));
        assert_eq!(btf.field_offset("sock_common", &["skc_dport"]), Some(12));
        assert_eq!(btf.field_offset("sock_common", &["skc_num"]), Some(14));
        let lrcvtime = btf.field_offset("inet_connection_sock", &["icsk_ack", "lrcvtime"]);
        assert!(lrcvtime > btf.field_offset("inet_connection_sock", &["icsk_ack"]));
    }

    #[test]
    fn what_a_kernel_does_not_have_is_none() {
        let Some(btf) = running_kernel() else { return };
        assert_eq!(btf.field_offset("sock_common", &["no_such_field"]), None);
        assert_eq!(btf.field_offset("no_such_struct", &["skc_daddr"]), None);
        assert_eq!(btf.tracepoint_arguments("no_such_tracepoint"), None);
        assert!(btf.enum_names("no_such_enum", "").is_empty());
    }

    #[test]
    fn tracepoints_tell_how_many_arguments_they_have() {
        let Some(btf) = running_kernel() else { return };
        assert_eq!(btf.tracepoint_arguments("tcp_receive_reset"), Some(1));
        assert_eq!(btf.tracepoint_arguments("inet_sock_set_state"), Some(3));
    }

    #[test]
    fn truncated_or_foreign_bytes_are_an_error_not_a_panic() {
        for bytes in [vec![], vec![0; 3], vec![0xff; 64], b"\x9f\xeb\x01\x00\x18\x00\x00\x00".to_vec()] {
            assert!(Btf::parse(bytes).is_err());
        }
        let Ok(whole) = std::fs::read("/sys/kernel/btf/vmlinux") else { return };
        for len in [8, 24, 25, 100, whole.len() / 7, whole.len() - 1] {
            assert!(Btf::parse(whole[..len].to_vec()).is_err(), "{len} bytes");
        }
    }
}
