//! Reads the running kernel's own type information (BTF): where a struct field is, how an enum names its
//! values, how many arguments a tracepoint has.
//!
//! Only what the daemon asks for is decoded; names are compared in place and nothing is copied. The format
//! is described in the kernel's Documentation/bpf/btf.rst.

use anyhow::{Context, Result, bail, ensure};

const MAGIC: u16 = 0xeb9f;
const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_ENUM64: u32 = 19;

/// Wrappers may nest (`typedef` of `const` of …); real kernels need a handful.
const MAX_DEPTH: usize = 16;

/// Members that one search may look at: a hundred times as many as any struct of a real kernel has.
const MAX_MEMBERS: usize = 1 << 16;

/// A field of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Bytes from the beginning of the struct.
    pub offset: u32,
    /// Its own bytes; of an array those of an element.
    pub width: usize,
}

/// The types of one kernel.
pub(crate) struct Btf {
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
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self> {
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

    /// A field, named by its path (`["icsk_ack", "lrcvtime"]`) within `struct name`. Anonymous structs and unions on
    /// the way are looked through; of an array its first element counts. `None` where this kernel has no such field, or
    /// one without a byte of its own.
    pub(crate) fn field(&self, name: &str, path: &[&str]) -> Result<Option<Field>> {
        let Some(mut ty) = self.find(name, KIND_STRUCT) else { return Ok(None) };
        let mut found = Field { offset: 0, width: ty.size_or_ref as usize };
        for (depth, member) in path.iter().enumerate() {
            let at = self.member(&ty, member, 0, &mut 0).with_context(|| {
                format!(
                    "struct {name} cannot be searched for {member}: the kernel's type information is damaged"
                )
            })?;
            let Some((bits, id)) = at else { return Ok(None) };
            let (true, Some(width)) = (bits % 8 == 0, self.width(id)) else { return Ok(None) };
            found = Field { offset: found.offset.saturating_add(bits / 8), width };
            if depth + 1 < path.len() {
                let Some(inner) = self.resolve(id) else { return Ok(None) };
                ty = inner;
            }
        }
        Ok(Some(found))
    }

    /// Bytes of a `struct name`.
    #[must_use]
    pub(crate) fn struct_size(&self, name: &str) -> Option<u32> {
        Some(self.find(name, KIND_STRUCT)?.size_or_ref)
    }

    /// The values of `enum name`, with `prefix` cut off their names.
    #[must_use]
    pub(crate) fn enum_names(&self, name: &str, prefix: &str) -> Vec<(u32, String)> {
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
    pub(crate) fn tracepoint_arguments(&self, name: &str) -> Option<usize> {
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

    /// Bit offset and type of a member, searching anonymous members too; `seen` counts all that were looked at. A
    /// struct that contains itself has no end: it is an error, as is one that only seems to have none.
    fn member(&self, ty: &Type, name: &str, depth: usize, seen: &mut usize) -> Result<Option<(u32, u32)>> {
        if !matches!(ty.kind, KIND_STRUCT | KIND_UNION) {
            return Ok(None);
        }
        *seen += ty.members;
        ensure!(
            depth < MAX_DEPTH && *seen <= MAX_MEMBERS,
            "its anonymous members contain one another without end"
        );
        for at in (0..ty.members).map(|index| ty.body + index * 12) {
            let (member_name, member) = (u32_at(&self.bytes, at)?, u32_at(&self.bytes, at + 4)?);
            let raw = u32_at(&self.bytes, at + 8)?;
            let (bits, bit_field) =
                if ty.kind_flag { (raw & 0x00ff_ffff, raw >> 24 != 0) } else { (raw, false) };
            if member_name != 0 {
                if self.string(member_name) == Some(name) {
                    return Ok((!bit_field).then_some((bits, member)));
                }
            } else if let Some(inner) = self.resolve(member)
                && let Some((inner_bits, found)) = self.member(&inner, name, depth + 1, seen)?
            {
                return Ok(Some((bits.saturating_add(inner_bits), found)));
            }
        }
        Ok(None)
    }

    /// Bytes of a type; of an array those of an element.
    fn width(&self, id: u32) -> Option<usize> {
        let mut id = id;
        for _ in 0..MAX_DEPTH {
            let ty = self.get(id)?;
            id = match ty.kind {
                // The kernel's pointers: this daemon is built for the machine it runs on.
                KIND_PTR => return Some(size_of::<usize>()),
                KIND_INT | KIND_STRUCT | KIND_UNION | KIND_ENUM | KIND_ENUM64 => {
                    return Some(ty.size_or_ref as usize);
                }
                KIND_ARRAY => u32_at(&self.bytes, ty.body).ok()?,
                // TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG
                8..=11 | 18 => ty.size_or_ref,
                _ => return None,
            };
        }
        None
    }

    fn get(&self, id: u32) -> Option<Type> {
        self.read(*self.types.get(id as usize)? as usize).ok()
    }

    /// Follows pointers, arrays, typedefs and qualifiers to what they wrap.
    fn resolve(&self, id: u32) -> Option<Type> {
        let mut ty = self.get(id)?;
        for _ in 0..MAX_DEPTH {
            let wrapped = match ty.kind {
                KIND_ARRAY => u32_at(&self.bytes, ty.body).ok()?,
                // PTR, TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG
                KIND_PTR | 8..=11 | 18 => ty.size_or_ref,
                _ => return Some(ty),
            };
            ty = self.get(wrapped)?;
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
                KIND_INT | 14 | 17 => 4,
                KIND_ARRAY => 12,
                KIND_STRUCT | KIND_UNION | 15 | KIND_ENUM64 => ty.members * 12,
                KIND_ENUM | KIND_FUNC_PROTO => ty.members * 8,
                // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
                KIND_PTR | 7..=12 | 16 | 18 => 0,
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
pub(super) mod blob;
#[cfg(test)]
mod tests;
