//! Programmes for Prometheus.

use nx_contract::mixes::{MixState, Mixes as _, Standing};
use nx_delivery::Metrics;
use nx_scene::InputState;

use crate::outbound::Outbound;

impl Outbound {
    /// Adds figures of programmes to a page of metrics.
    pub(crate) fn mix_metrics(&self, out: &mut Metrics) {
        type Of = (&'static str, &'static str, &'static str, fn(&Standing) -> u64);
        let figures: [Of; 4] = [
            ("nexus_mixes_up", "gauge", "1 while a programme's worker mixes.", |s| {
                u64::from(s.state == MixState::Running)
            }),
            ("nexus_mixes_inputs_live", "gauge", "Inputs of which frames come.", |s| {
                s.inputs.iter().filter(|input| input.state == InputState::Live).count() as u64
            }),
            ("nexus_mixes_frames_total", "counter", "Frames made by this worker.", |s| s.frames),
            ("nexus_mixes_crashes_total", "counter", "Workers that died or hung.", |s| s.crashes),
        ];
        let mixes = self.mixes();
        out.single("nexus_mixes", "gauge", "Programmes that are wanted.", mixes.len());
        for (name, kind, help, of) in figures {
            out.family(name, kind, help);
            mixes.iter().for_each(|mix| out.value(name, &[("stream", &mix.stream)], of(&mix.standing)));
        }
    }
}
