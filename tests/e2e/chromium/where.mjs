// Prints where the Chromium of the package is, which it unpacks first.
import chromium from "@sparticuz/chromium";

process.stdout.write(await chromium.executablePath());
