// Every type that CDS has for OData, for what is written and read back.
@protocol: [
  { kind: 'odata-v4', path: '/odata/v4/types' },
  { kind: 'odata-v2', path: '/sap/opu/odata/sap/TYPES' }
]
service Types {
  entity Values {
    key ID        : UUID;
        Text      : String(5000);
        Long      : LargeString;
        Yes       : Boolean;
        Tiny      : UInt8;
        Small     : Int16;
        Int       : Int32;
        Big       : Int64;
        Quantity  : Decimal(13, 3);
        Wide      : Decimal(31, 14);
        Whole     : Decimal(15, 0);
        Double    : Double;
        Day       : Date;
        Clock     : Time;
        Moment    : DateTime;
        Precise   : Timestamp;
        Bytes     : Binary(200);
  }
}
