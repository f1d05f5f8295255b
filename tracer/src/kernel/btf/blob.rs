//! Type information made by tests.

use std::collections::BTreeMap;

use super::{KIND_INT, KIND_STRUCT, MAGIC};

/// Structs with members.
#[derive(Default)]
pub(crate) struct Blob {
    structs: BTreeMap<String, Members>,
    /// Structs that have themselves as anonymous members, so many times.
    snakes: BTreeMap<String, usize>,
    /// Structs with so many anonymous members, each with as many, and so on, so deep.
    hydras: BTreeMap<String, (usize, usize)>,
}

/// Members of a struct, in the order of their names.
type Members = BTreeMap<String, Member>;

enum Member {
    Number(usize),
    Struct(Members),
}

impl Blob {
    /// Adds a number of `width` bytes; what is on the path to it are structs.
    pub(crate) fn add(&mut self, name: &str, path: &[&str], width: usize) {
        let mut members = self.structs.entry(name.to_owned()).or_default();
        let (last, way) = path.split_last().expect("a path has a member");
        for step in way {
            let inner = members.entry((*step).to_owned()).or_insert_with(|| Member::Struct(Members::new()));
            let Member::Struct(inner) = inner else { panic!("{step} is a number and a struct") };
            members = inner;
        }
        members.insert((*last).to_owned(), Member::Number(width));
    }

    /// Adds the struct to itself as an anonymous member, so many times.
    pub(crate) fn contain_itself(&mut self, name: &str, times: usize) {
        self.snakes.insert(name.to_owned(), times);
    }

    /// Adds a struct of so many anonymous structs, each of as many, and so on, so deep.
    pub(crate) fn multiply(&mut self, name: &str, depth: usize, times: usize) {
        self.hydras.insert(name.to_owned(), (depth, times));
    }

    /// As the kernel would export it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer { types: Vec::new(), strings: vec![0], last: 0 };
        for (name, members) in &self.structs {
            let itself = self.snakes.get(name).copied().unwrap_or(0);
            writer.structure(name, members, itself);
        }
        for (name, (depth, times)) in &self.hydras {
            let mut inner = writer.number(1);
            for level in (0..*depth).rev() {
                let name = if level == 0 { name } else { "" };
                inner = writer.members(name, &vec![(0, inner); *times]);
            }
        }
        writer.finish()
    }
}

struct Writer {
    types: Vec<u32>,
    strings: Vec<u8>,
    /// Types are numbered from 1.
    last: u32,
}

impl Writer {
    /// A struct after all that is in it. Returns its number.
    fn structure(&mut self, name: &str, members: &Members, itself: usize) -> u32 {
        let mut list: Vec<_> = members
            .iter()
            .map(|(name, member)| {
                let ty = match member {
                    Member::Number(width) => self.number(*width),
                    Member::Struct(inner) => self.structure("", inner, 0),
                };
                (self.string(name), ty)
            })
            .collect();
        list.extend(vec![(0, self.last + 1); itself]);
        self.members(name, &list)
    }

    fn number(&mut self, width: usize) -> u32 {
        let width = u32::try_from(width).expect("not so wide");
        self.types.extend([0, KIND_INT << 24, width, 0]);
        self.next()
    }

    /// The members follow one another at every eighth byte.
    fn members(&mut self, name: &str, members: &[(u32, u32)]) -> u32 {
        let name = self.string(name);
        let count = u32::try_from(members.len()).expect("not so many members");
        self.types.extend([name, KIND_STRUCT << 24 | count, 8 * count]);
        for (place, (name, ty)) in (0..).zip(members) {
            self.types.extend([*name, *ty, 64 * place]);
        }
        self.next()
    }

    fn next(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).expect("not so many strings");
        self.strings.extend([text.as_bytes(), &[0]].concat());
        at
    }

    fn finish(self) -> Vec<u8> {
        let bytes = |words: &[u32]| words.iter().copied().flat_map(u32::to_ne_bytes).collect::<Vec<_>>();
        let (types, strings) = (bytes(&self.types), self.strings);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("not so many bytes");
        let header = bytes(&[24, 0, length(&types), length(&types), length(&strings)]);
        [&MAGIC.to_ne_bytes()[..], &[1, 0], &header, &types, &strings].concat()
    }
}
