//! Model-specific registers that hold linear addresses: WRMSR of one that is not canonical raises #GP(0) on
//! every processor (Intel SDM vol. 2, WRMSR), but some nested hosts let it pass.

use super::lab::{DATA, Did, Lab, guest};
use super::{good, limited};
use crate::engine::kvm::exit::Left;
use crate::engine::probe::Answer;

guest!(
    write_address,
    "mov ecx, [0xa000]",
    "xor eax, eax",
    "mov edx, 0x8000",
    "wrmsr",
    "out 0x10, al"
);

/// The registers by their names.
const REGISTERS: [(&str, u32); 7] = [
    ("SYSENTER_ESP", 0x175),
    ("SYSENTER_EIP", 0x176),
    ("LSTAR", 0xc000_0082),
    ("CSTAR", 0xc000_0083),
    ("FS_BASE", 0xc000_0100),
    ("GS_BASE", 0xc000_0101),
    ("KERNEL_GS_BASE", 0xc000_0102),
];

/// Whether addresses that are not canonical are refused.
pub(super) fn canonical() -> Answer {
    let mut passing = Vec::new();
    for (name, number) in REGISTERS {
        let did = Lab::new(write_address()).map(|mut lab| {
            lab.ram.write(DATA, &number.to_le_bytes());
            lab.run()
        });
        match did {
            Err(error) => return error.into(),
            // What KVM refuses leaves the guest first, for the engine to refuse it.
            Ok(Did::Trapped(13) | Did::Left(Left::MsrWrite { .. })) => {}
            Ok(Did::Done) => passing.push(name.to_owned()),
            Ok(did) => passing.push(format!("{name} ({did})")),
        }
    }
    if passing.is_empty() {
        return good(
            "an address that is not canonical raises #GP",
            "guests find out about wrong addresses as on hardware",
        );
    }
    limited(
        format!(
            "an address that is not canonical goes into {}",
            passing.join(", ")
        ),
        "a guest that writes a wrong address there finds out later, or never",
    )
}
