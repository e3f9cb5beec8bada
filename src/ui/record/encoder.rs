//! RGBA pictures to H.264 (openh264), one thread, no frame left out.

use openh264::OpenH264API;
use openh264::encoder::{
    Complexity, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange, RateControlMode,
    UsageType, VuiConfig,
};
use openh264::formats::YUVSlices;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
    rgba_to_yuv420,
};

use crate::geometry::Size;

/// Quantiser of every picture: small text stays sharp, and a 1280x720 picture of two cameras takes
/// about 2 Mbit/s (measured on the bundled clips).
const QP: u8 = 26;

/// Seconds from one key frame to the next: how coarsely a player can seek.
const KEY_FRAME_SECONDS: f64 = 2.0;

/// One encoded picture.
pub(super) struct Picture {
    /// NAL units with start codes.
    pub(super) annex_b: Vec<u8>,
    /// Whether a player can start here.
    pub(super) key: bool,
}

pub(super) struct Encoder {
    encoder: openh264::encoder::Encoder,
    planes: [Vec<u8>; 3],
}

impl Encoder {
    pub(super) fn new(size: Size, fps: f64) -> Result<Self, String> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "fps is between 0.01 and 1000"
        )]
        let (rate, period) = (fps as f32, (fps * KEY_FRAME_SECONDS).ceil() as u32);
        let config = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::Low)
            .rate_control_mode(RateControlMode::Off)
            .qp(QpRange::new(QP, QP))
            .skip_frames(false)
            .scene_change_detect(false)
            .adaptive_quantization(false)
            .background_detection(false)
            .max_frame_rate(FrameRate::from_hz(rate))
            .intra_frame_period(IntraFramePeriod::from_num_frames(period))
            .vui(VuiConfig::bt709())
            .num_threads(1);
        let encoder =
            openh264::encoder::Encoder::with_api_config(OpenH264API::from_source(), config)
                .map_err(|error| format!("openh264: {error}"))?;
        let luma = size.width as usize * size.height as usize;
        Ok(Self {
            encoder,
            planes: [vec![0; luma], vec![0; luma / 4], vec![0; luma / 4]],
        })
    }

    /// Encodes a picture; `None` where the encoder put nothing out.
    pub(super) fn encode(&mut self, size: Size, rgba: &[u8]) -> Result<Option<Picture>, String> {
        let [y, u, v] = &mut self.planes;
        let mut image = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(y),
            y_stride: size.width,
            u_plane: BufferStoreMut::Borrowed(u),
            u_stride: size.width / 2,
            v_plane: BufferStoreMut::Borrowed(v),
            v_stride: size.width / 2,
            width: size.width,
            height: size.height,
        };
        rgba_to_yuv420(
            &mut image,
            rgba,
            size.width * 4,
            YuvRange::Limited,
            YuvStandardMatrix::Bt709,
            YuvConversionMode::default(),
        )
        .map_err(|error| format!("converting the picture: {error}"))?;
        let width = size.width as usize;
        let source = YUVSlices::new(
            (y, u, v),
            (width, size.height as usize),
            (width, width / 2, width / 2),
        );
        let encoded = self
            .encoder
            .encode(&source)
            .map_err(|error| format!("openh264: {error}"))?;
        let key = match encoded.frame_type() {
            FrameType::IDR => true,
            FrameType::I | FrameType::P | FrameType::IPMixed => false,
            FrameType::Skip | FrameType::Invalid => return Ok(None),
        };
        let annex_b = encoded.to_vec();
        Ok((!annex_b.is_empty()).then_some(Picture { annex_b, key }))
    }
}
