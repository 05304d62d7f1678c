use super::*;

const RBR: u16 = PORT;
const IER: u16 = PORT + 1;
const IIR: u16 = PORT + 2;
const LCR: u16 = PORT + 3;
const MCR: u16 = PORT + 4;
const LSR: u16 = PORT + 5;
const MSR: u16 = PORT + 6;
const SCR: u16 = PORT + 7;

fn write(serial: &mut SerialState, port: u16, value: u8) -> Vec<Effect> {
    let mut effects = Vec::new();
    serial.write(port, value, &mut effects);
    effects
}

fn read(serial: &mut SerialState, port: u16) -> (u8, Vec<Effect>) {
    let mut effects = Vec::new();
    (serial.read(port, &mut effects), effects)
}

fn enqueue(serial: &mut SerialState, bytes: &[u8]) -> (usize, Vec<Effect>) {
    let mut effects = Vec::new();
    (serial.enqueue(bytes, &mut effects), effects)
}

fn line(asserted: bool) -> Effect {
    Effect::Irq { line: 4, asserted }
}

#[test]
fn written_bytes_go_to_the_console_and_the_transmitter_is_always_ready() {
    let mut serial = SerialState::new();
    assert_eq!(write(&mut serial, RBR, b'x'), [Effect::Console(vec![b'x'])]);
    assert_eq!(read(&mut serial, LSR), (0x60, vec![]));
}

#[test]
fn divisor_latch_hides_data_and_interrupt_enable() {
    let mut serial = SerialState::new();
    write(&mut serial, LCR, 0x83);
    assert_eq!(write(&mut serial, RBR, 1), []);
    assert_eq!(write(&mut serial, IER, 2), []);
    assert_eq!((read(&mut serial, RBR).0, read(&mut serial, IER).0), (1, 2));
    write(&mut serial, LCR, 0x03);
    assert_eq!(read(&mut serial, IER).0, 0);
}

#[test]
fn it_looks_like_a_16550a_to_a_probe() {
    let mut serial = SerialState::new();
    write(&mut serial, IIR, 0x01);
    assert_eq!(read(&mut serial, IIR).0, 0xc1);
    write(&mut serial, SCR, 0x5a);
    assert_eq!(read(&mut serial, SCR).0, 0x5a);
    write(&mut serial, MCR, 0x1a);
    assert_eq!(read(&mut serial, MSR).0 & 0xf0, 0x90);
}

#[test]
fn received_data_interrupts_until_the_fifo_is_empty() {
    let mut serial = SerialState::new();
    write(&mut serial, IER, 1);
    assert_eq!(enqueue(&mut serial, b"ab"), (2, vec![line(true)]));
    assert_eq!(read(&mut serial, IIR), (0xc4, vec![]));
    assert_eq!(read(&mut serial, RBR), (b'a', vec![]));
    assert_eq!(read(&mut serial, IIR), (0xc4, vec![]));
    assert_eq!(read(&mut serial, LSR).0, 0x61);
    assert_eq!(read(&mut serial, RBR), (b'b', vec![line(false)]));
    assert_eq!(read(&mut serial, IIR), (0xc1, vec![]));
    assert_eq!(read(&mut serial, LSR).0, 0x60);
}

#[test]
fn waiting_data_interrupts_when_it_is_enabled() {
    let mut serial = SerialState::new();
    assert_eq!(enqueue(&mut serial, b"a"), (1, vec![]));
    assert_eq!(write(&mut serial, IER, 1), [line(true)]);
    assert_eq!(write(&mut serial, IER, 0), [line(false)]);
}

#[test]
fn empty_transmitter_interrupts_until_identified_and_after_each_byte() {
    let mut serial = SerialState::new();
    assert_eq!(write(&mut serial, IER, 2), [line(true)]);
    assert_eq!(read(&mut serial, IIR), (0xc2, vec![line(false)]));
    assert_eq!(read(&mut serial, IIR), (0xc1, vec![]));
    assert_eq!(
        write(&mut serial, RBR, b'x'),
        [Effect::Console(vec![b'x']), line(true)]
    );
    assert_eq!(write(&mut serial, IER, 0), [line(false)]);
    assert_eq!(write(&mut serial, IER, 2), [line(true)]);
}

#[test]
fn of_two_conditions_only_the_reported_one_is_cleared() {
    let mut serial = SerialState::new();
    write(&mut serial, IER, 3);
    enqueue(&mut serial, b"a");
    assert_eq!(read(&mut serial, IIR).0, 0xc4);
    assert_eq!(read(&mut serial, RBR), (b'a', vec![]));
    assert_eq!(read(&mut serial, IIR), (0xc2, vec![line(false)]));
}

#[test]
fn out2_connects_the_interrupt_to_the_line() {
    let mut serial = SerialState::new();
    write(&mut serial, IER, 2);
    assert_eq!(write(&mut serial, MCR, 0), [line(false)]);
    assert_eq!(read(&mut serial, IIR).0, 0xc2);
    write(&mut serial, RBR, b'x');
    assert_eq!(write(&mut serial, MCR, 8), [line(true)]);
}

#[test]
fn full_fifo_takes_no_more() {
    let mut serial = SerialState::new();
    assert_eq!(enqueue(&mut serial, &[7; 100]).0, FIFO_SIZE);
    assert_eq!(enqueue(&mut serial, b"a").0, 0);
    read(&mut serial, RBR);
    assert_eq!(enqueue(&mut serial, b"ab").0, 1);
}

#[test]
fn fifo_control_clears_what_was_received() {
    let mut serial = SerialState::new();
    write(&mut serial, IER, 1);
    enqueue(&mut serial, b"abc");
    assert_eq!(write(&mut serial, IIR, 0x07), [line(false)]);
    assert_eq!(read(&mut serial, LSR).0, 0x60);
}

#[test]
fn loopback_returns_what_is_written_and_sends_nothing() {
    let mut serial = SerialState::new();
    write(&mut serial, MCR, 0x10);
    assert_eq!(write(&mut serial, RBR, b'x'), []);
    assert_eq!(enqueue(&mut serial, b"a").0, 0);
    assert_eq!(read(&mut serial, RBR).0, b'x');
}

#[test]
fn a_copy_goes_on_like_the_original() {
    let mut serial = SerialState::new();
    write(&mut serial, IER, 3);
    enqueue(&mut serial, b"abc");
    let mut copy = serial.clone();
    assert_eq!(read(&mut serial, IIR), read(&mut copy, IIR));
    assert_eq!(read(&mut serial, RBR), read(&mut copy, RBR));
    assert_eq!(serial, copy);
}
