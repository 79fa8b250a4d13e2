//! The peer: nginx, one process, files on tmpfs; with its RTMP module, or with TLS and HTTP/3.
#![expect(clippy::panic, reason = "a measurement without its peer is over")]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::listens;

const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// A running nginx; killed when dropped.
pub(crate) struct Nginx {
    child: Child,
    folder: PathBuf,
    pub(crate) rtmp: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Nginx {
    /// Starts it; returns when it takes connections.
    pub(crate) fn start() -> Self {
        let (rtmp, http) = (free(), free());
        Self::launch("nginx", rtmp, http, |folder| config(folder, rtmp, http))
    }

    /// As a cache in front of `origin`, tuned: memory for what it keeps, one fetch for all who ask.
    pub(crate) fn cache(origin: SocketAddr) -> Self {
        let http = free();
        Self::launch("nginx", http, http, |folder| {
            cache_config(folder, &format!("listen {http} backlog=4096;"), origin)
        })
    }

    /// The same over TLS and HTTP/2, with a certificate and its key.
    pub(crate) fn secure_cache(origin: SocketAddr, cert: &Path, key: &Path) -> Self {
        let (http, cert, key) = (free(), cert.display(), key.display());
        let listen = format!(
            "listen {http} ssl backlog=4096;
        http2 on;
        http2_chunk_size 16k;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;"
        );
        Self::launch("nginx-new", http, http, |folder| cache_config(folder, &listen, origin))
    }

    /// As a plain reverse proxy in front of `origin`, on connections that are kept.
    pub(crate) fn proxy(origin: SocketAddr) -> Self {
        let http = free();
        Self::launch("nginx", http, http, |folder| proxy_config(folder, http, origin))
    }

    /// A newer one, for HTTP over TLS and QUIC alone, with a certificate and its key.
    pub(crate) fn secure(cert: &Path, key: &Path) -> Self {
        let http = free();
        Self::launch("nginx-new", http, http, |folder| secure_config(folder, http, cert, key))
    }

    fn launch(program: &str, rtmp: SocketAddr, http: SocketAddr, config: impl Fn(&Path) -> String) -> Self {
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let folder = base.join(format!("nexus-bench-nginx-{}-{}", std::process::id(), http.port()));
        for name in ["hls", "files"] {
            fs::create_dir_all(folder.join(name)).expect("a folder for segments");
        }
        let file = folder.join("nginx.conf");
        fs::write(&file, config(&folder)).expect("a configuration");
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).arg("-p").arg(&folder).arg("-e").arg(folder.join("error.log"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|e| panic!("{program}: {e}; `make bench` installs it"));
        let nginx = Self { child, folder, rtmp, http };
        assert!(listens(rtmp, Duration::from_secs(5)), "nginx did not start: {}", nginx.log());
        nginx
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lays a file under `/files`.
    pub(crate) fn lay(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.join("files").join(name), bytes).expect("a file on tmpfs");
    }

    /// What it complained about.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
    }

    /// Bytes of its segments, which lie in memory outside its own.
    pub(crate) fn segment_bytes(&self) -> u64 {
        let files = fs::read_dir(self.folder.join("hls")).into_iter().flatten().flatten();
        files.filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port that was free a moment ago, for those who cannot choose one by themselves.
pub(crate) fn free() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address")
}

/// What each process of nginx has alike.
fn process(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "user root;
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
"
    )
}

/// What each serves with alike.
const USUAL: &str = "    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    keepalive_timeout 300s;
    open_file_cache max=1000 inactive=300s;
    open_file_cache_valid 300s;
";

fn config(folder: &Path, rtmp: SocketAddr, http: SocketAddr) -> String {
    let (process, folder) = (process(folder), folder.display());
    format!(
        "load_module {MODULE};
{process}rtmp {{ server {{
    listen {rtmp};
    chunk_size 4096;
    application live {{
        live on;
        hls on;
        hls_path {folder}/hls;
        hls_fragment 2s;
        hls_playlist_length 12s;
        hls_cleanup on;
    }}
}} }}
http {{
{USUAL}    server {{
        listen {http} backlog=4096;
        location /live {{ alias {folder}/hls; }}
        location /files {{ alias {folder}/files; }}
    }}
}}
"
    )
}

fn cache_config(folder: &Path, listen: &str, origin: SocketAddr) -> String {
    let (process, folder) = (process(folder), folder.display());
    format!(
        "{process}http {{
{USUAL}    proxy_cache_path {folder}/files/kept levels=1:2 keys_zone=kept:32m max_size=2g inactive=1h use_temp_path=off;
    upstream origin {{ server {origin}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        {listen}
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_cache kept;
            proxy_cache_lock on;
            proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
            proxy_cache_background_update on;
            proxy_buffers 64 32k;
            proxy_busy_buffers_size 256k;
        }}
    }}
}}
"
    )
}

fn proxy_config(folder: &Path, http: SocketAddr, origin: SocketAddr) -> String {
    let process = process(folder).replace("8192", "50000");
    format!(
        "{process}http {{
{USUAL}    upstream origin {{ server {origin}; keepalive 256; keepalive_requests 100000000; }}
    server {{
        listen {http} backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}

fn secure_config(folder: &Path, http: SocketAddr, cert: &Path, key: &Path) -> String {
    let (process, folder, cert, key) = (process(folder), folder.display(), cert.display(), key.display());
    format!(
        "{process}http {{
{USUAL}    output_buffers 2 256k;
    http2_chunk_size 16k;
    http3_stream_buffer_size 1m;
    quic_gso on;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    ssl_session_cache shared:tls:10m;
    server {{
        listen {http} ssl backlog=4096;
        listen {http} quic;
        http2 on;
        location /files {{ alias {folder}/files; }}
    }}
}}
"
    )
}
