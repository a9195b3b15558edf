#!/bin/sh
# Makes dist/Switchyard.app on a Mac, and a zip of it. Signing is for whoever has a certificate.
set -eu
cd "$(dirname "$0")/../.."
version=${VERSION:-$(git describe --tags --always --dirty)}
version=${version#v}
app=dist/Switchyard.app/Contents
rm -rf dist/Switchyard.app
mkdir -p "$app/MacOS" "$app/Resources" dist/Switchyard.iconset
for arch in amd64 arm64; do
	CGO_ENABLED=1 GOARCH=$arch CC="clang -arch $(test $arch = amd64 && echo x86_64 || echo arm64)" \
		go build -trimpath -ldflags "-s -w -X main.version=$version" -o "dist/switchyard-$arch" .
done
lipo -create -output "$app/MacOS/switchyard" dist/switchyard-amd64 dist/switchyard-arm64
rm dist/switchyard-amd64 dist/switchyard-arm64
go run -C packaging . -icons "$PWD/dist/Switchyard.iconset"
iconutil -c icns -o "$app/Resources/switchyard.icns" dist/Switchyard.iconset
rm -r dist/Switchyard.iconset
sed "s/@VERSION@/$version/" packaging/macos/Info.plist >"$app/Info.plist"
plutil -lint "$app/Info.plist"
cp LICENSE "$app/Resources/"
codesign --force --sign "${IDENTITY:--}" --options runtime dist/Switchyard.app # "-" signs for this machine only
ditto -c -k --keepParent dist/Switchyard.app "dist/switchyard-$version-macos.zip"
