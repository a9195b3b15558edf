; Installs for one user, without an administrator. Defines: VERSION, FILES, OUT.
Unicode true
Name "Switchyard"
OutFile "${OUT}"
InstallDir "$LOCALAPPDATA\Programs\Switchyard"
RequestExecutionLevel user
SetCompressor /SOLID lzma
!include MUI2.nsh
!define MUI_ICON "${FILES}/switchyard.ico"
!define MUI_UNICON "${FILES}/switchyard.ico"
!insertmacro MUI_PAGE_LICENSE "${FILES}/LICENSE.txt"
!insertmacro MUI_PAGE_INSTFILES
!define MUI_FINISHPAGE_RUN "$INSTDIR\switchyardw.exe"
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"
!insertmacro MUI_LANGUAGE "German"
!insertmacro MUI_LANGUAGE "SimpChinese"
!define UNINST "Software\Microsoft\Windows\CurrentVersion\Uninstall\Switchyard"

VIProductVersion "${NUMBERS}"
VIAddVersionKey "ProductName" "Switchyard"
VIAddVersionKey "FileDescription" "Switchyard installer"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "LegalCopyright" "Apache-2.0"

Section
  ; A running one ends in order: its file cannot be replaced before.
  IfFileExists "$INSTDIR\switchyard.exe" 0 +2
    nsExec::Exec '"$INSTDIR\switchyard.exe" quit'
  SetOutPath "$INSTDIR"
  File "${FILES}/switchyard.exe"
  File "${FILES}/switchyardw.exe"
  File "${FILES}/switchyard.ico"
  File "${FILES}/LICENSE.txt"
  File "${FILES}/NOTICES.txt"
  CreateShortcut "$SMPROGRAMS\Switchyard.lnk" "$INSTDIR\switchyardw.exe" "" "$INSTDIR\switchyard.ico"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  WriteRegStr HKCU "${UNINST}" "DisplayName" "Switchyard"
  WriteRegStr HKCU "${UNINST}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKCU "${UNINST}" "DisplayIcon" "$INSTDIR\switchyard.ico"
  WriteRegStr HKCU "${UNINST}" "Publisher" "The Switchyard authors"
  WriteRegStr HKCU "${UNINST}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKCU "${UNINST}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKCU "${UNINST}" "NoModify" 1
  WriteRegDWORD HKCU "${UNINST}" "NoRepair" 1
SectionEnd

Section Uninstall
  ; Settings first: nothing may be left pointing to a port that is gone.
  nsExec::ExecToLog '"$INSTDIR\switchyard.exe" uninstall --yes --force --keep-config'
  Pop $0
  StrCmp $0 "0" done
    MessageBox MB_ICONEXCLAMATION|MB_OKCANCEL "Claude Code's settings were not put back (see: switchyard cloud). Remove Switchyard all the same?" /SD IDOK IDOK done
    Abort
  done:
  Delete "$INSTDIR\switchyard.exe"
  Delete "$INSTDIR\switchyardw.exe"
  Delete "$INSTDIR\switchyard.ico"
  Delete "$INSTDIR\LICENSE.txt"
  Delete "$INSTDIR\NOTICES.txt"
  Delete "$INSTDIR\uninstall.exe"
  RMDir "$INSTDIR"
  Delete "$SMPROGRAMS\Switchyard.lnk"
  DeleteRegKey HKCU "${UNINST}"
SectionEnd
