# Template of a Homebrew cask: @VERSION@, @SHA256@ and @URL@ are set by a release.
cask "switchyard" do
  version "@VERSION@"
  sha256 "@SHA256@"

  url "@URL@/switchyard-#{version}-macos.zip"
  name "Switchyard"
  desc "Move Claude Code between the cloud and a local model"
  homepage "@URL@"

  depends_on macos: ">= :monterey"

  app "Switchyard.app"
  binary "#{appdir}/Switchyard.app/Contents/MacOS/switchyard"

  uninstall early_script: {
              executable: "#{appdir}/Switchyard.app/Contents/MacOS/switchyard",
              args:       ["uninstall", "--yes", "--force", "--keep-config"],
            },
            quit:         "dev.switchyard.Switchyard"

  zap trash: [
    "~/Library/Application Support/switchyard",
    "~/Library/LaunchAgents/dev.switchyard.Switchyard.plist",
  ]
end
