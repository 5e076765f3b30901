//! Decoding an image within bounds: what a file claims is looked at before anything is decoded.

use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};

use bytes::Bytes;
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder,
    metadata::Orientation,
};
use rustdht_core::ports::PreviewError;
use tokio::time::Instant;

/// Bytes of the decoded pixels: some 33 million pixels of a JPEG, 25 million with transparency. Cameras of telephones make 12
/// to 24 million.
const MAX_DECODED_BYTES: u64 = 96 << 20;
/// What a decoder may allocate beside them.
const MAX_WORKING_BYTES: u64 = 2 * MAX_DECODED_BYTES;
/// Longer side of a thumbnail, in pixels: sharp in a list, and 10 to 30 KiB.
const THUMBNAIL_PIXELS: u32 = 320;
/// Quality of a thumbnail without transparency, of 100.
const THUMBNAIL_QUALITY: u8 = 80;
/// The longer side of what the blurhash is made of: it has four waves a side at most, and takes time per pixel.
const BLURRED_PIXELS: u32 = 64;
/// Waves of the blurhash along the longer and the shorter side, as its authors advise.
const WAVES: (u32, u32) = (4, 3);

pub(super) struct Small {
    pub(super) bytes: Bytes,
    pub(super) mime: &'static str,
    pub(super) width: u32,
    pub(super) height: u32,
}

pub(super) struct Decoded {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) blurhash: String,
    pub(super) thumbnail: Option<Small>,
}

/// Bytes that cannot be read any more when the time is over: decoders ask no clock, but they read.
struct Timed<'a> {
    bytes: Cursor<&'a [u8]>,
    deadline: Instant,
}

impl Timed<'_> {
    fn in_time(&self) -> io::Result<()> {
        if Instant::now() < self.deadline { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.in_time()?;
        self.bytes.read(into)
    }
}

impl BufRead for Timed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.in_time()?;
        self.bytes.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.bytes.consume(bytes);
    }
}

impl Seek for Timed<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

fn broken(error: &ImageError) -> PreviewError {
    PreviewError::Broken(error.to_string())
}

/// Size, blurhash and thumbnail of an image.
pub(super) fn decode(file: &[u8], deadline: Instant) -> Result<Decoded, PreviewError> {
    let format = image::guess_format(file).map_err(|error| broken(&error))?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::Gif | ImageFormat::WebP) {
        return Err(PreviewError::Broken("previews are made of JPEG, PNG, GIF and WebP".into()));
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_WORKING_BYTES);
    let mut reader = ImageReader::with_format(Timed { bytes: Cursor::new(file), deadline }, format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|error| broken(&error))?;
    let (width, height) = decoder.dimensions();
    let pixel_bytes = u64::from(decoder.color_type().bytes_per_pixel()).max(1);
    if u64::from(width) * u64::from(height) > MAX_DECODED_BYTES / pixel_bytes {
        return Err(PreviewError::TooManyPixels { width, height, limit: MAX_DECODED_BYTES / pixel_bytes });
    }
    decoder.set_limits(limits).map_err(|error| broken(&error))?;
    let turn = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| broken(&error))?;
    let is_large = width > THUMBNAIL_PIXELS || height > THUMBNAIL_PIXELS;
    if is_large {
        // Before it is turned, which makes a copy.
        image = image.thumbnail(THUMBNAIL_PIXELS, THUMBNAIL_PIXELS);
    }
    image.apply_orientation(turn);
    let turned = matches!(
        turn,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    );
    let (width, height) = if turned { (height, width) } else { (width, height) };
    let blurhash = blurred(&image)?;
    let thumbnail = if is_large { Some(encode(&image)?) } else { None };
    Ok(Decoded { width, height, blurhash, thumbnail })
}

fn blurred(image: &DynamicImage) -> Result<String, PreviewError> {
    let side = image.width().max(image.height()).min(BLURRED_PIXELS);
    let small = image.thumbnail(side, side).into_rgba8();
    let (width, height) = small.dimensions();
    let (x, y) = if width >= height { WAVES } else { (WAVES.1, WAVES.0) };
    blurhash::encode(x, y, width, height, small.as_raw()).map_err(|error| PreviewError::Broken(error.to_string()))
}

fn encode(image: &DynamicImage) -> Result<Small, PreviewError> {
    let mut bytes = Cursor::new(Vec::new());
    let mime = if image.color().has_alpha() {
        DynamicImage::ImageRgba8(image.to_rgba8()).write_to(&mut bytes, ImageFormat::Png).map(|()| "image/png")
    } else {
        let encoder = JpegEncoder::new_with_quality(&mut bytes, THUMBNAIL_QUALITY);
        image.to_rgb8().write_with_encoder(encoder).map(|()| "image/jpeg")
    };
    let mime = mime.map_err(|error| broken(&error))?;
    Ok(Small { bytes: bytes.into_inner().into(), mime, width: image.width(), height: image.height() })
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn drawn(width: u32, height: u32) -> RgbImage {
        // Left red, right blue, darker below.
        RgbImage::from_fn(width, height, |x, y| {
            let light = 255 - (y * 200 / height) as u8;
            if x < width / 2 { Rgb([light, 0, 0]) } else { Rgb([0, 0, light]) }
        })
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    pub(in crate::preview) fn png(width: u32, height: u32) -> Vec<u8> {
        encoded(&drawn(width, height).into(), ImageFormat::Png)
    }

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let crc = crc32fast::hash(&[kind.as_slice(), data].concat());
        [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.to_be_bytes()].concat()
    }

    /// The head of a PNG of any size, with too little behind it.
    fn bomb(width: u32, height: u32) -> Vec<u8> {
        let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
        // An empty zlib stream.
        let data = [0x78, 0x9c, 0x03, 0, 0, 0, 0, 1];
        [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &head), &chunk(b"IDAT", &data), &chunk(b"IEND", &[])].concat()
    }

    #[test]
    fn every_format_has_a_preview() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
            let image: DynamicImage = drawn(360, 720).into();
            let image = if format == ImageFormat::Gif { image.to_rgba8().into() } else { image };
            let decoded = decode(&encoded(&image, format), soon()).unwrap();
            assert_eq!((decoded.width, decoded.height), (360, 720), "{format:?}");
            let small = decoded.thumbnail.unwrap();
            assert_eq!((small.width, small.height), (160, 320));
            assert!(small.bytes.len() < 20_000);
            let expected = if format == ImageFormat::Gif { "image/png" } else { "image/jpeg" };
            assert_eq!(small.mime, expected);
            let shown = image::load_from_memory(&small.bytes).unwrap().to_rgb8();
            let (left, right) = (shown.get_pixel(40, 10), shown.get_pixel(120, 10));
            assert!(left.0[0] > 200 && left.0[2] < 60 && right.0[2] > 200 && right.0[0] < 60, "{left:?} {right:?}");
            // Three waves across and four down.
            assert_eq!(decoded.blurhash.len(), 4 + 2 * 12);
            let drawn = blurhash::decode(&decoded.blurhash, 16, 16, 1.0).unwrap();
            assert!(drawn[0] > drawn[2] && drawn[15 * 4] < drawn[15 * 4 + 2], "red left, blue right");
        }
    }

    #[test]
    fn small_and_transparent_ones() {
        let small = decode(&png(320, 7), soon()).unwrap();
        assert!(small.thumbnail.is_none() && small.blurhash.len() == 28);
        let clear = RgbaImage::from_fn(400, 400, |x, _| Rgba([0, 255, 0, if x < 200 { 0 } else { 255 }]));
        let decoded = decode(&encoded(&clear.into(), ImageFormat::Png), soon()).unwrap();
        let small = decoded.thumbnail.unwrap();
        assert_eq!(small.mime, "image/png");
        assert_eq!(image::load_from_memory(&small.bytes).unwrap().to_rgba8().get_pixel(10, 10).0[3], 0);
        let line = decode(&png(1, 5000), soon()).unwrap();
        assert_eq!((line.width, line.height), (1, 5000));
    }

    #[test]
    fn a_picture_is_turned_as_its_camera_says() {
        let jpeg = encoded(&drawn(400, 200).into(), ImageFormat::Jpeg);
        // EXIF behind the start marker: orientation 6, a quarter turn clockwise.
        let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let exif = [&b"Exif\0\0"[..], tiff].concat();
        let app1 = [&b"\xff\xe1"[..], &(exif.len() as u16 + 2).to_be_bytes(), &exif].concat();
        let turned = [&jpeg[..2], &app1, &jpeg[2..]].concat();
        let decoded = decode(&turned, soon()).unwrap();
        let small = decoded.thumbnail.unwrap();
        assert_eq!((decoded.width, decoded.height, small.width, small.height), (200, 400, 160, 320));
        let shown = image::load_from_memory(&small.bytes).unwrap().to_rgb8();
        assert!(shown.get_pixel(150, 40).0[0] > 150, "what was left is above: {:?}", shown.get_pixel(150, 40));
    }

    #[test]
    fn a_bomb_is_refused_by_name_before_it_is_decoded() {
        for (width, height) in [(100_000, 100_000), (1_000_000, 1000), (6000, 6000)] {
            let refused = decode(&bomb(width, height), soon()).map(drop).unwrap_err();
            let expected = PreviewError::TooManyPixels { width, height, limit: MAX_DECODED_BYTES / 4 };
            assert_eq!(refused, expected);
            assert_eq!(refused.name(), "too_many_pixels");
        }
        // A frame larger than the canvas that the head of a GIF claims.
        let mut gif = encoded(&DynamicImage::from(drawn(8, 8)).to_rgba8().into(), ImageFormat::Gif);
        let frame = gif.iter().position(|byte| *byte == 0x2c).unwrap();
        gif[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
        assert!(decode(&gif, soon()).is_err());
    }

    #[test]
    fn what_is_broken_or_too_late_has_no_preview() {
        let whole = png(500, 500);
        for bad in [&b""[..], b"hello", b"\x89PNG\r\n\x1a\n", &whole[..whole.len() / 2], &bomb(100, 100)] {
            assert_eq!(decode(bad, soon()).map(drop).unwrap_err().name(), "broken");
        }
        assert_eq!(decode(&whole, Instant::now()).map(drop).unwrap_err().name(), "broken");
        // Whatever byte is wrong, it ends.
        for at in (0..whole.len()).step_by(whole.len() / 50) {
            let mut bad = whole.clone();
            bad[at] ^= 0x55;
            drop(decode(&bad, soon()));
        }
    }
}
