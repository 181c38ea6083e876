# A template: VERSION and SHA256 are filled in when a version is released.
class Heirloom < Formula
  desc "Share photos within a family, from device to device, with no server"
  homepage "HOMEPAGE"
  url "HOMEPAGE/archive/refs/tags/vVERSION.tar.gz"
  sha256 "SHA256"
  license "Apache-2.0"

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args
    generate_completions_from_executable(bin/"heirloom", "completions")
    system bin/"heirloom", "man", man1
  end

  service do
    run [opt_bin/"heirloom", "serve"]
    keep_alive true
    log_path var/"log/heirloom.log"
    error_log_path var/"log/heirloom.log"
  end

  test do
    system bin/"heirloom", "--home", testpath/"home", "init", "--family", "Berger", "--person", "Anna", "--no-recovery"
    assert_match "Berger", shell_output("#{bin}/heirloom --home #{testpath}/home --json status")
  end
end
