//! The interrupt command register: sending messages (Intel SDM vol. 3, 11.6).

use super::*;

impl LapicState {
    /// Sends the message that `command` describes, in the ICR's layout of the present mode.
    pub(super) fn send(&mut self, command: u64, effects: &mut Vec<Effect>) {
        let vector = command as u8;
        let mode = (command >> 8 & 7) as u8;
        let level_triggered = command & 1 << 15 != 0;
        let asserted = command & 1 << 14 != 0;
        match mode {
            MODE_FIXED | MODE_LOWEST_PRIORITY if vector < FIRST_LEGAL_VECTOR => {
                self.fail(ESR_SEND_ILLEGAL_VECTOR);
                return;
            }
            MODE_FIXED | MODE_LOWEST_PRIORITY | MODE_SMI | MODE_NMI | MODE_INIT | MODE_STARTUP => {}
            _ => return,
        }
        let destination = match command >> 18 & 3 {
            0 => self.destination(command),
            1 => Destination::Oneself(self.index),
            2 => Destination::All,
            _ => Destination::Others(self.index),
        };
        effects.push(Effect::Ipi(Ipi {
            mode,
            vector,
            // The trigger mode of an IPI other than INIT is ignored: it is edge.
            level: level_triggered && mode == MODE_INIT,
            deassert: mode == MODE_INIT && level_triggered && !asserted,
            destination,
        }));
    }

    fn destination(&self, command: u64) -> Destination {
        let logical = command & 1 << 11 != 0;
        let (id, broadcast) = if self.is_x2apic() {
            let id = (command >> 32) as u32;
            (id, id == u32::MAX)
        } else {
            let id = (command >> 56) as u32;
            (id, id == 0xff && !logical)
        };
        if broadcast {
            Destination::All
        } else {
            Destination::Field { logical, id }
        }
    }
}
