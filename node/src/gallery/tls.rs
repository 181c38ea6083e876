//! The door for phones: a certificate of the node's own making, kept in its home.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
};

use data_encoding::HEXUPPER;
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
        sign::{CertifiedKey, SingleCertAndKey},
    },
};
use zeroize::Zeroizing;

use crate::{
    api::ApiError,
    store::{StoreError, fs as disk},
};

/// Folder below the home.
const FOLDER: &str = "gallery";
const KEY: &str = "key.der";
const CERTIFICATE: &str = "certificate.der";

/// A certificate and its key.
pub(super) struct Identity {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    fingerprint: String,
}

fn wrong(error: impl std::fmt::Display) -> ApiError {
    ApiError::new("E-IO", 1, format!("the gallery's certificate: {error}")).hint(
        "remove the folder gallery in this home to have a new one made; phones then log in anew",
    )
}

impl Identity {
    /// The one of a home, made at the first time.
    ///
    /// # Errors
    ///
    /// `E-IO` when it can be neither read nor made.
    pub(super) fn of_home(home: &Path) -> Result<Self, ApiError> {
        let folder = home.join(FOLDER);
        let kept = fs::read(folder.join(KEY)).map(Zeroizing::new);
        let kept = kept.and_then(|key| {
            let certificate = fs::read(folder.join(CERTIFICATE))?;
            Ok((certificate, key))
        });
        let (certificate, key) = match kept {
            Ok(kept) => kept,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(&folder)?,
            Err(error) => return Err(wrong(error)),
        };
        let digest = ring_digest(&certificate);
        let pairs: Vec<String> = digest
            .iter()
            .map(|byte| HEXUPPER.encode(&[*byte]))
            .collect();
        Ok(Self {
            certificate,
            key,
            fingerprint: pairs.join(":"),
        })
    }

    /// SHA-256 of the certificate, as browsers show it.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// TLS 1.2 and 1.3, HTTP/1.1 alone.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, ApiError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(&self.key[..]));
        let key = ring::sign::any_supported_type(&key).map_err(wrong)?;
        let chain = vec![CertificateDer::from(self.certificate.clone())];
        let one = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(one));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn ring_digest(bytes: &[u8]) -> Vec<u8> {
    ::ring::digest::digest(&::ring::digest::SHA256, bytes)
        .as_ref()
        .to_vec()
}

/// Certificate and key, both durable in their folder when it returns.
fn make(folder: &Path) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), ApiError> {
    let key = KeyPair::generate().map_err(wrong)?;
    let names = names(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let names: Vec<String> = names
        .into_iter()
        .map(|name| name.trim_matches(['[', ']']).to_owned())
        .collect();
    let mut params = CertificateParams::new(names).map_err(wrong)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Heirloom");
    let certificate = params.self_signed(&key).map_err(wrong)?;
    let key = Zeroizing::new(key.serialize_der());
    let certificate = certificate.der().to_vec();
    private_folder(folder).map_err(StoreError::from)?;
    for (name, bytes) in [(CERTIFICATE, &certificate), (KEY, &*key)] {
        disk::write_whole(&folder.join(name), bytes).map_err(StoreError::from)?;
    }
    Ok((certificate, key))
}

fn private_folder(folder: &Path) -> std::io::Result<()> {
    disk::create_folder(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// What a phone may call this computer: its addresses, its name, and its name on the local network.
pub(super) fn names(ip: IpAddr) -> Vec<String> {
    let written = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let mut names: Vec<String> = match ip.is_unspecified() {
        true => [own_v4(), own_v6()]
            .into_iter()
            .flatten()
            .map(written)
            .collect(),
        false => vec![written(ip)],
    };
    let host = crate::api::host_name().to_lowercase();
    if host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
    {
        let bare = host.trim_end_matches(".local");
        names.extend([bare.to_owned(), format!("{bare}.local")]);
    }
    names
}

/// An address under which the local network knows this computer.
pub(super) fn own_address() -> Option<IpAddr> {
    own_v4().or_else(own_v6)
}

/// Asks which address the system would send from; nothing is sent.
fn own_v4() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|at: SocketAddr| at.ip())
}

fn own_v6() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
    let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    socket.connect((documentation, 9)).ok()?;
    socket.local_addr().ok().map(|at: SocketAddr| at.ip())
}

/// A text as a picture that a phone reads; `None` for one that is too long.
pub(super) fn qr(text: &str) -> Option<String> {
    use qrcode::{EcLevel, QrCode, render::svg};
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let mut picture = code.render::<svg::Color<'_>>();
    Some(picture.min_dimensions(240, 240).quiet_zone(true).build())
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;
    use crate::store::fs::{Change, hook};

    #[test]
    fn a_certificate_that_was_made_is_there_after_a_loss_of_power() {
        let home = tempfile::tempdir().unwrap();
        let changes = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&changes);
        let look = move |change: &Change<'_>| {
            seen.borrow_mut().push(match change {
                Change::Rename(_, to) => format!("named {}", to.display()),
                Change::SyncFolder(folder) => format!("durable in {}", folder.display()),
                _ => return Ok(()),
            });
            Ok(())
        };
        let made = hook::with(look, || Identity::of_home(home.path()).unwrap());
        let (home, folder) = (home.path().display(), home.path().join(FOLDER));
        let folder = folder.display();
        let wanted = [
            format!("durable in {home}"),
            format!("named {folder}/{CERTIFICATE}"),
            format!("durable in {folder}"),
            format!("named {folder}/{KEY}"),
            format!("durable in {folder}"),
        ];
        assert_eq!(changes.take(), wanted);
        let kept = Identity::of_home(std::path::Path::new(&home.to_string())).unwrap();
        assert_eq!(kept.fingerprint(), made.fingerprint());
    }
}
