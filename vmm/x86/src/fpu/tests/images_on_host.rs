//! Images against the host's, for the parts that all processors store alike.

use super::differential::{WIDE, image, show};
use super::host::{Image, Native};
use super::images::{Unit, initial};
use super::operands::Random;
use crate::fpu::{
    EnvFormat, ImageFormat, fxrstor, fxsave, load_environment, restore, save, store_environment,
};
use crate::state::X87;

const FORMATS: [(EnvFormat, &[u8]); 2] = [
    (WIDE, &[]),
    (
        EnvFormat {
            wide: false,
            real: false,
        },
        &[0x66],
    ),
];

/// A random state whose pointers are what FRSTOR will make of them.
fn state(random: &mut Random) -> X87 {
    let mut fpu = random.state();
    fpu.ip = random.next() & 0xffff;
    fpu.dp = random.next() & 0xffff;
    fpu
}

/// AMD's processors and Intel's differ in when they update the pointers and whether selectors exist.
fn without_pointers(bytes: &[u8], wide: bool) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[if wide { 12..28 } else { 6..14 }].fill(0);
    bytes
}

#[test]
fn environments_are_stored_like_the_host_does() {
    let mut random = Random(1);
    for (format, prefix) in FORMATS {
        let native = Native::new(&[prefix, &[0xd9, 0x36]].concat());
        for _ in 0..2_000 {
            let fpu = state(&mut random);
            let (mut ours, mut theirs) = ([0; 28], Image([0; 576]));
            let mut after = fpu;
            store_environment(&mut after, format, &mut ours);
            let host_after = native.run_on(&image(&fpu), &mut theirs);
            let size = format.size();
            assert_eq!(
                without_pointers(&ours[..size], format.wide),
                without_pointers(&theirs.0[..size], format.wide)
            );
            assert_eq!(
                without_pointers(&host_after, true),
                without_pointers(&image(&after), true)
            );
        }
    }
}

#[test]
fn whole_states_are_saved_like_the_host_does() {
    let mut random = Random(2);
    for (format, prefix) in FORMATS {
        let native = Native::new(&[prefix, &[0xdd, 0x36]].concat());
        for _ in 0..2_000 {
            let fpu = state(&mut random);
            let (mut ours, mut theirs) = ([0; 108], Image([0; 576]));
            let mut after = fpu;
            save(&mut after, format, &mut ours);
            let host_after = native.run_on(&image(&fpu), &mut theirs);
            let size = format.save_size();
            assert_eq!(
                without_pointers(&ours[..size], format.wide),
                without_pointers(&theirs.0[..size], format.wide)
            );
            assert_eq!(
                without_pointers(&host_after, true),
                without_pointers(&image(&after), true)
            );
        }
    }
}

#[test]
fn environments_and_states_are_loaded_like_the_host_does() {
    let mut random = Random(3);
    for (format, prefix) in FORMATS {
        let (environment, whole) = (
            Native::new(&[prefix, &[0xd9, 0x26]].concat()),
            Native::new(&[prefix, &[0xdd, 0x26]].concat()),
        );
        for round in 0..2_000 {
            let mut fpu = state(&mut random);
            let before = image(&fpu);
            let mut source = Image([0; 576]);
            source
                .0
                .iter_mut()
                .for_each(|byte| *byte = random.next() as u8);
            let host = if round % 2 == 0 {
                load_environment(&mut fpu, format, &source.0);
                environment.run_on(&before, &mut source)
            } else {
                restore(&mut fpu, format, &source.0[..format.save_size()]);
                whole.run_on(&before, &mut source)
            };
            let ours = image(&fpu);
            assert_eq!(
                without_pointers(&host, true),
                without_pointers(&ours, true),
                "round {round}\nhost {}\nours {}",
                show(&host),
                show(&ours)
            );
        }
    }
}

#[test]
fn fxsave_and_fxrstor_agree_with_the_host() {
    let format = ImageFormat {
        wide_pointers: true,
        long_mode: true,
    };
    let (store, load) = (
        Native::new(&[0x48, 0x0f, 0xae, 0x06]),
        Native::new(&[0x48, 0x0f, 0xae, 0x0e]),
    );
    let mut random = Random(4);
    for _ in 0..2_000 {
        let mut unit = Unit {
            x87: state(&mut random),
            ..initial()
        };
        let before = image(&unit.x87);
        let (mut ours, mut theirs) = ([0; 512], Image([0; 576]));
        fxsave(&unit.legacy(), format, true, &mut ours);
        store.run_on(&before, &mut theirs);
        assert_eq!(ours[..6], theirs.0[..6]);
        assert_eq!(ours[32..160], theirs.0[32..160]);
        theirs.0[..24].fill_with(|| random.next() as u8);
        theirs.0[32..160].fill_with(|| random.next() as u8);
        fxrstor(&mut unit.legacy(), format, true, &theirs.0).expect("MXCSR comes from the host");
        let after = load.run_on(&before, &mut theirs);
        assert_eq!(
            without_pointers(&after, true),
            without_pointers(&image(&unit.x87), true)
        );
    }
}
