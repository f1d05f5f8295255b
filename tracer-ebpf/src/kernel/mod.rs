//! The only readers of kernel memory.
//!
//! What is known to be a TCP socket is read directly, as a [`Typed`] pointer. Of a plain address nothing is known, so
//! it is read with `bpf_probe_read_kernel`. Either way a wrong address yields zeroes, never a fault. Field names and
//! their kernel sources are listed in [`tracer_common::field`].

pub mod clock;
pub mod msghdr;
pub mod pages;
pub mod payload;
pub mod skb;
pub mod sock;

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{bpf_skc_to_tcp_sock, generated};
use tracer_common::{ABSENT, Field};

use crate::state::constants::offset;

/// The ports of a connection, in host byte order.
#[derive(Clone, Copy)]
pub struct Ports {
    pub local: u16,
    pub remote: u16,
}

pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;

/// What is found at a plain address.
#[inline(always)]
pub fn read_at<T: Copy + Default>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the address, and writes zeroes where it cannot read: so whether it could need not be
    // asked.
    unsafe {
        generated::bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const _,
        );
        value.assume_init()
    }
}

/// Where a kernel object is, and how to read there.
pub trait Object: Copy {
    /// The address, as a number.
    fn address(self) -> u64;

    /// What is found `offset` bytes further on.
    fn load<T: Copy + Default>(self, offset: u32) -> T;

    /// Where a pointer leads that is one of its fields.
    fn follow(self, pointer: Field<u64>) -> Self;
}

/// A plain address, of which the verifier knows nothing.
impl Object for u64 {
    #[inline(always)]
    fn address(self) -> u64 {
        self
    }

    #[inline(always)]
    fn load<T: Copy + Default>(self, offset: u32) -> T {
        read_at(self + u64::from(offset))
    }

    #[inline(always)]
    fn follow(self, pointer: Field<u64>) -> Self {
        read(self, pointer)
    }
}

/// A pointer whose type the verifier knows: no load needs a helper. Offsets are constants to the verifier, so it can
/// compare each load with the type.
#[derive(Clone, Copy)]
pub struct Typed(u64);

impl Typed {
    /// An argument of a typed program.
    #[inline(always)]
    pub fn argument(argument: u64) -> Self {
        Self(argument)
    }

    /// Takes the `struct sock *` of a typed program for a `struct tcp_sock *`. `None` for what is no full TCP socket:
    /// `inet_sock_set_state` also fires for DCCP, SCTP and MPTCP's outer sockets.
    #[inline(always)]
    pub fn tcp_sock(sk: u64) -> Option<Self> {
        // SAFETY: the verifier admits pointers to sockets only.
        let sk = unsafe { bpf_skc_to_tcp_sock(sk as *mut _) };
        (!sk.is_null()).then_some(Self(sk as u64))
    }
}

impl Object for Typed {
    #[inline(always)]
    fn address(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn load<T: Copy + Default>(self, offset: u32) -> T {
        // SAFETY: the verifier refuses the program unless the type has such a field there; should the memory be gone,
        // the kernel reads zeroes. Volatile, because a narrower load than the field would be refused.
        unsafe { core::ptr::read_volatile((self.0 + u64::from(offset)) as *const T) }
    }

    /// The verifier knows the type of what the field points to as well.
    #[inline(always)]
    fn follow(self, pointer: Field<u64>) -> Self {
        Self(read(self, pointer))
    }
}

/// A field, by the type in its row; zeroes where this kernel has none.
#[inline(always)]
pub fn read<T: Copy + Default>(object: impl Object, field: Field<T>) -> T {
    let offset = offset(field);
    if offset == ABSENT {
        return T::default();
    }
    object.load(offset)
}
