//! Archives as tests make them, by hand, so that any of their bytes can be wrong.

/// CRC-32 as in ISO 3309.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

fn long(n: usize) -> u32 {
    u32::try_from(n).expect("small")
}

fn short(n: usize) -> u16 {
    u16::try_from(n).expect("small")
}

/// Bytes as DEFLATE (RFC 1951) has them, in blocks that are stored.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut blocks = bytes.chunks(60_000).peekable();
    if blocks.peek().is_none() {
        all.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        all.push(u8::from(blocks.peek().is_none()));
        let length = short(block.len());
        all.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        all.extend(block);
    }
    all
}

/// A ZIP of these files, every second of them as if it had been made smaller.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut all, mut directory) = (Vec::new(), Vec::new());
    for (index, (name, bytes)) in files.iter().enumerate() {
        // Version 2.0, names in UTF-8, stored, 1980-01-01.
        let mut before = [20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0];
        let mut packed = bytes.to_vec();
        if index % 2 == 1 {
            before[4] = 8;
            packed = deflated(bytes);
        }
        let mut sizes = crc(bytes).to_le_bytes().to_vec();
        let lengths = [long(packed.len()), long(bytes.len())];
        sizes.extend(lengths.map(u32::to_le_bytes).concat());
        sizes.extend([short(name.len()).to_le_bytes(), [0; 2]].concat());
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(before);
        directory.extend(&sizes);
        directory.extend([0; 10]);
        directory.extend(long(all.len()).to_le_bytes());
        directory.extend(name.as_bytes());
        all.extend(b"PK\x03\x04");
        all.extend(before);
        all.extend(&sizes);
        all.extend(name.as_bytes());
        all.extend(packed);
    }
    let count = short(files.len()).to_le_bytes();
    let (length, start) = (long(directory.len()), long(all.len()));
    all.extend(directory);
    all.extend(b"PK\x05\x06\0\0\0\0");
    all.extend([count, count].concat());
    all.extend([length.to_le_bytes(), start.to_le_bytes()].concat());
    all.extend([0; 2]);
    all
}

fn header(name: &[u8], length: usize, kind: u8) -> Vec<u8> {
    let mut block = vec![0; 512];
    let shown = &name[..name.len().min(100)];
    block[..shown.len()].copy_from_slice(shown);
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{length:011o}\0").as_bytes());
    block[148..156].fill(b' ');
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar  \0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(512), 0);
    padded
}

/// A tar of these files; names longer than 100 bytes as GNU's writes them.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, bytes) in files {
        if name.len() > 100 {
            all.extend(header(b"././@LongLink", name.len() + 1, b'L'));
            all.extend(padded(format!("{name}\0").as_bytes()));
        }
        all.extend(header(name.as_bytes(), bytes.len(), b'0'));
        all.extend(padded(bytes));
    }
    all.extend([0; 1024]);
    all
}

/// The same with gzip (RFC 1952) around it.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut all = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    all.extend(deflated(bytes));
    all.extend([crc(bytes).to_le_bytes(), long(bytes.len()).to_le_bytes()].concat());
    all
}
